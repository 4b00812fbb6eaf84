package lineproto

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"headgate/engine/point"
)

// recorded is one request of the recorded contract.
type recorded struct {
	ID, Section, Name string
	Request           struct {
		Method, Path string
		Query        [][2]string
		Headers      map[string]string
		Body         *string
		BodyB64      string `json:"body_b64"`
		BodyGzB64    string `json:"body_gz_b64"`
	}
	Response struct {
		Status int
		Body   string
	}
}

func (r *recorded) body(t *testing.T) []byte {
	if r.Request.Body != nil {
		return []byte(*r.Request.Body)
	}
	raw, err := base64.StdEncoding.DecodeString(r.Request.BodyB64 + r.Request.BodyGzB64)
	if err != nil {
		t.Fatal(err)
	}
	if r.Request.BodyGzB64 != "" {
		zr, err := gzip.NewReader(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		if raw, err = io.ReadAll(zr); err != nil {
			t.Fatal(err)
		}
	}
	return raw
}

// deliberate says what Headgate answers where it differs from the recording, and
// by which row of part 1 of the contract.
var deliberate = map[string]struct{ row, want string }{
	"m f=1 1\r\nm f=2 2\r\n": {"12", ""},
	"m f=1\r\nm f=2\r\n":     {"12", ""},
	"\r\n\r\n":               {"12", ""},
	"m f=true\r\n":           {"12", ""},
	"m f=\"abc\"x 1":         {"13", "unable to parse 'm f=\"abc\"x 1': invalid field format"},
	"m f=\"a\"\"b\" 1":       {"13", "unable to parse 'm f=\"a\"\"b\" 1': invalid field format"},
}

// TestRecorded runs the bodies of the recorded write requests whose outcome
// depends on parsing alone and compares verdict and message.
func TestRecorded(t *testing.T) {
	file, err := os.Open(filepath.Join("..", "..", "..", "shared", "contract", "recorded.jsonl"))
	if err != nil {
		t.Skip(err)
	}
	defer file.Close()
	in := bufio.NewScanner(file)
	in.Buffer(nil, 64<<20)
	n := 0
	for in.Scan() {
		var r recorded
		if err := json.Unmarshal(in.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		if r.Request.Path != "/api/v2/write" || r.Section != "parse.single" && r.Section != "write.happy" {
			continue
		}
		if r.Request.Headers["Content-Encoding"] != "" {
			continue
		}
		var answer struct{ Code, Message string }
		if r.Response.Status == 400 {
			if err := json.Unmarshal([]byte(r.Response.Body), &answer); err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(answer.Message, "unable to parse") {
				continue
			}
		} else if r.Response.Status != 204 && r.Response.Status != 422 {
			continue
		}
		body := r.body(t)
		want := answer.Message
		if d, ok := deliberate[string(body)]; ok {
			want = d.want
		}
		got := ""
		var p Parser
		if err := p.Parse(point.GetBatch(), body, Options{}); err != nil {
			got = err.Error()
		}
		// The answer is JSON: bytes that are not UTF-8 are replaced there.
		got = strings.ToValidUTF8(got, "\ufffd")
		got, want = foldReplacements(got), foldReplacements(want)
		if len(body) > quotedBytesMax && len(want) > quotedBytesMax {
			// Row 7: the line is cut, the reason is not.
			i := strings.LastIndex(want, "': ")
			want = want[:len("unable to parse '")+quotedBytesMax] + want[i:]
		}
		if got != want {
			t.Errorf("%s %s: %.100q\n got %.300q\nwant %.300q", r.ID, r.Name, body, got, want)
		}
		n++
	}
	if err := in.Err(); err != nil {
		t.Fatal(err)
	}
	if n < 200 {
		t.Errorf("only %d requests compared", n)
	}
}

func foldReplacements(s string) string {
	for strings.Contains(s, "\ufffd\ufffd") {
		s = strings.ReplaceAll(s, "\ufffd\ufffd", "\ufffd")
	}
	return s
}
