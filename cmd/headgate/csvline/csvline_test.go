package csvline

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"headgate/engine/lineproto"
	"headgate/engine/point"
)

func convert(in string, o Options) (string, error) {
	var b strings.Builder
	err := Convert(strings.NewReader(in), o, func(line int, text []byte) error {
		fmt.Fprintf(&b, "%d:%s", line, text)
		return nil
	})
	return b.String(), err
}

func TestConvert(t *testing.T) {
	for _, c := range []struct {
		name, in string
		o        Options
		want     string
	}{
		{name: "annotated", in: "#datatype measurement,tag,double,dateTime:RFC3339\nm,host,used,time\nmem,a b,64.23,2020-01-01T00:00:00Z\nmem,,1e3,2020-01-01T00:00:01.5Z\n",
			want: "3:mem,host=a\\ b used=64.23 1577836800000000000\n4:mem used=1000 1577836801500000000\n"},
		{name: "types in labels, defaults", in: "m|measurement|cpu,h|tag,i|long,u|unsignedLong,s|string,b|boolean,d|duration,x|base64Binary,t|dateTime:number\n,x=y,\"1,000.9\",7,\"say \"\"a\\b\"\"\",yes,1ms,aGk=,5\n",
			want: "2:cpu,h=x\\=y i=1000i,u=7u,s=\"say \\\"a\\\\b\\\"\",b=true,d=1000000i,x=\"aGk=\" 5\n"},
		{name: "headers and zone", in: "skipped\n2020-01-01 10:00,3\n", o: Options{SkipLines: 1, Unit: time.Second, Headers: []string{"#constant measurement,m", "#constant tag,r,eu", "#timezone -0500", "#concat string,all,${v}!${nope}", "#datatype dateTime:2006-01-02 15:04,double", "t,v"}},
			want: "2:m,r=eu v=3,all=\"3!${nope}\" 1577890800\n"},
		{name: "answer of Flux", in: "#group,false,false,true,true,false,false,true,true,true\n#datatype,string,long,dateTime:RFC3339,dateTime:RFC3339,dateTime:RFC3339,double,string,string,string\n#default,_result,,,,,,,,\n,result,table,_start,_stop,_time,_value,_field,_measurement,host\n,,0,2020-01-01T00:00:00Z,2020-01-02T00:00:00Z,2020-01-01T01:00:00Z,1.5,f,m,a\n\n#group,false,true,true\n#datatype,long,string,string\n#default,,,\n,_value,_field,_measurement\n,7,n,m\n",
			want: "5:m,host=a f=1.5 1577840400000000000\n11:m n=7i\n"},
		{name: "bare", in: "_measurement,time,a,b\nm,9,1i,true\n", want: "2:m a=1i,b=true 9\n"},
		{name: "numbers", in: "m|measurement,a|double:\",.\",b|boolean:on:,c|long:strict\nm,\"1.000,5\",off,4\n", want: ""},
		{name: "commas", in: "m|measurement,\"a|double:,.\",b|boolean:on:,c|long:strict\nm,\"1.000,5\",off,4\n", want: "2:m a=1000.5,b=false,c=4i\n"},
		{name: "before 1970", in: "m|measurement,v|double,t|dateTime:2006-01-02T15:04:05.000\nm,1,1969-12-31T23:59:59.500\n", o: Options{Unit: time.Second}, want: "2:m v=1 -1\n"},
		{name: "backslashes in the name of a field", in: "m|measurement,a\\\\ b|double,c\\d|long\nm,1,2\n", want: "2:m a\\\\\\ b=1,c\\d=2i\n"},
		{name: "comments, newline in a string", in: "# hello\nm|measurement,v|string\n#another\nm,\"a\nb\"\n", want: "4:m v=\"a\nb\"\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := convert(c.in, c.o)
			if c.want == "" {
				if err == nil {
					t.Errorf("taken: %s", got)
				}
				return
			}
			if err != nil || got != c.want {
				t.Errorf("%v\ngot  %q\nwant %q", err, got, c.want)
			}
		})
	}
}

// A fault in a header that was given beside the input is on none of the input's lines.
func TestHeaderErrors(t *testing.T) {
	for _, tt := range []struct {
		headers []string
		want    string
	}{
		{[]string{"#constant what,cpu,3"}, `header 1: "what" is no type`},
		{[]string{"#constant measurement,cpu", `#constant "tag,a`}, "header 2: "},
		{[]string{"#constant measurement,cpu", "#datatype long,long"}, `line 2, column "v": "x" is no long`},
	} {
		err := Convert(strings.NewReader("v,w\nx,1\n"), Options{Headers: tt.headers}, func(int, []byte) error { return nil })
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%q: %v, want %s", tt.headers, err, tt.want)
		}
	}
}

func TestRowErrors(t *testing.T) {
	in := "m|measurement,v|long:strict,f,t|dateTime\nm,x,,1\nm,1.5,,1\nm,,,1\n,1,,1\nm,1,hello,1\nm,1,\"1,g=2\",1\nm,1,,yesterday\nm,\"a\"b,,1\nm,2,,1\n"
	var faults []string
	o := Options{Skip: func(e *RowError) error { faults = append(faults, fmt.Sprint(e.Line, e.Column)); return nil }}
	got, err := convert(in, o)
	if err != nil || got != "10:m v=2i 1\n" || fmt.Sprint(faults) != "[2v 3v 4 5m 6f 7f 8t 9]" {
		t.Errorf("%v %q %v", err, got, faults)
	}
	_, err = convert(in, Options{})
	if e, ok := errors.AsType[*RowError](err); !ok || e.Line != 2 || !strings.Contains(err.Error(), `line 2, column "v": "x" is no long`) {
		t.Error(err)
	}
	for in, want := range map[string]string{
		"a,b\n1,2\n": "#constant measurement", "a|nope\n": "is no type", "#timezone Mars\n": "is no time zone", "#constant tag\n": "needs a type",
	} {
		if _, err := convert(in, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", in, err)
		}
	}
}

// FuzzConvert: whatever a row becomes is one point that the server's parser takes.
func FuzzConvert(f *testing.F) {
	f.Add("#datatype measurement,tag,double,dateTime:RFC3339\nm,host,used,time\nmem,a b,64.23,2020-01-01T00:00:00Z\n")
	f.Add("m|measurement,s|string,b|boolean,i|long,u|unsignedLong,t|dateTime:number\nm,\"a\"\"b\\\",yes,1,2,3\n")
	f.Add("_measurement,_field,_value,x\nm,f,\"\"\"a\\\\\"\"\",\n")
	f.Add("_measurement,\\ 0,\\\\ 1\nm,\"\"\"\"\"\",\"\"\"\"\"\"\n")
	f.Add("#constant measurement,m\n#concat,string,s,${a} ${b}\n#timezone +0200\na|tag,b\nx\\,\"=\",1\n")
	f.Fuzz(func(t *testing.T, in string) {
		p := new(lineproto.Parser)
		skip := func(*RowError) error { return nil }
		Convert(strings.NewReader(in), Options{Skip: skip}, func(_ int, text []byte) error {
			b := point.GetBatch()
			defer point.PutBatch(b)
			if err := p.Parse(b, append([]byte(nil), text...), lineproto.Options{Precision: 1}); err != nil {
				// The grammar of names, such as reserved or repeated tags, is the server's to judge.
				for _, known := range []string{"reserved", "duplicate", "max key length", "outside range"} {
					if strings.Contains(err.Error(), known) {
						return nil
					}
				}
				t.Errorf("%q: %v", text, err)
			}
			return nil
		})
	})
}
