package bench

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"headgate/engine/testkit"
)

func TestFill(t *testing.T) {
	start := time.Date(2020, 2, 3, 4, 5, 6, 0, time.UTC)
	base := FillOptions{Database: "d b", Token: "secret", Hosts: 7, Start: start, Span: 65 * time.Second, Interval: 2 * time.Second, Lines: 10}
	const steps = 32
	of := make(map[string]map[string]bool) // lines by test
	for _, tt := range []struct {
		name   string
		change func(*FillOptions)
		refuse bool
		points int64
		values float64 // of a point
	}{
		{"cpu", func(o *FillOptions) {}, false, 7 * steps, 10},
		{"cpu over one connection", func(o *FillOptions) { o.Conns = 1 }, false, 7 * steps, 10},
		{"cpu, refused now and then", func(o *FillOptions) { o.Conns = 2 }, true, 7 * steps, 10},
		{"single", func(o *FillOptions) { o.Workload = Single }, false, 7 * steps, 10},
		{"more connections than hosts", func(o *FillOptions) { o.Conns = 20 }, false, 7 * steps, 10},
		{"devops", func(o *FillOptions) { o.Workload = Devops }, false, 9 * 7 * steps, 11.2},
		{"floats", func(o *FillOptions) { o.Workload = Floats }, false, 7 * steps, 10},
		{"highcard", func(o *FillOptions) { o.Workload = HighCard }, false, 7 * steps, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			testkit.CheckLeaks(t)
			s, address := startCounting(t)
			s.refuse = tt.refuse
			o := base
			o.URL = address
			tt.change(&o)
			r, err := Fill(context.Background(), o)
			if err != nil {
				t.Fatal(err)
			}
			mean := float64(r.Values) / float64(r.Points)
			if r.Points != tt.points || s.lines != tt.points || len(s.seen) != int(tt.points) || mean < tt.values-0.1 || mean > tt.values+0.1 {
				t.Errorf("reported %d points and %d values, the server took %d lines, %d of them different; want %d and %.1f a point",
					r.Points, r.Values, s.lines, len(s.seen), tt.points, tt.values)
			}
			if (r.Retries > 0) != tt.refuse || r.Requests != s.requests {
				t.Errorf("%d retries, %d requests, the server saw %d", r.Retries, r.Requests, s.requests)
			}
			if s.paths["/write?db=d+b&precision=ns"] == 0 || len(s.paths) != 1 || s.tokens["Token secret"] == 0 || len(s.tokens) != 1 {
				t.Errorf("requests %v with %v", s.paths, s.tokens)
			}
			times := map[string]int{}
			for line := range s.seen {
				times[strings.TrimSpace(line[strings.LastIndexByte(line, ' ')+1:])]++
			}
			for step := range steps {
				at := fmt.Sprint(start.Add(time.Duration(step) * 2 * time.Second).UnixNano())
				if times[at] != int(tt.points)/steps {
					t.Errorf("%d points at step %d", times[at], step)
				}
			}
			of[tt.name] = s.seen
		})
	}
	for _, name := range []string{"cpu over one connection", "cpu, refused now and then", "single"} {
		if !maps.Equal(of["cpu"], of[name]) {
			t.Errorf("%s: other points than cpu", name)
		}
	}
}

func TestFillErrors(t *testing.T) {
	testkit.CheckLeaks(t)
	var closing bool
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/query" {
			return
		}
		if closing {
			panic(http.ErrAbortHandler)
		}
		http.Error(w, "not this one", http.StatusBadRequest)
	}))
	defer h.Close()
	o := FillOptions{URL: h.URL, Hosts: 5, Span: time.Minute}
	if _, err := Fill(context.Background(), o); err == nil || !strings.Contains(err.Error(), "400 not this one") {
		t.Errorf("error %v", err)
	}
	closing = true
	if _, err := Fill(context.Background(), o); err == nil || !strings.Contains(err.Error(), "EOF") {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Fill(ctx, o); err == nil {
		t.Error("a fill that was cancelled succeeded")
	}
	for want, change := range map[string]func(*FillOptions){
		"positive":  func(o *FillOptions) { o.Lines = -1 },
		"Span":      func(o *FillOptions) { o.Span = time.Second },
		"years":     func(o *FillOptions) { o.Start = time.Unix(1, 0) },
		"no fixed":  func(o *FillOptions) { o.Workload = Real },
		"workload":  func(o *FillOptions) { o.Workload = "x" },
		"http://ho": func(o *FillOptions) { o.URL = "ftp://x" },
	} {
		o := o
		change(&o)
		if _, err := Fill(context.Background(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

func TestSettleRequest(t *testing.T) {
	for text, want := range map[string]string{
		"a=/x?y=1,2":     "a POST /x?y=1,2",
		"a=GET,/x":       "a GET /x",
		"a=POST,/x":      "a POST /x",
		"a=DELETE,/x":    "",
		"=/x":            "",
		"a":              "",
		"a=GET,relative": "",
	} {
		r, err := ParseSettleRequest(text)
		if want == "" {
			if err == nil || !strings.Contains(err.Error(), "NAME=[METHOD,]PATH") {
				t.Errorf("%q: error %v", text, err)
			}
		} else if got := r.Target + " " + r.Method + " " + r.Path; err != nil || got != want {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	var got []string
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Method+" "+r.RequestURI+" "+r.Header.Get("Authorization"))
		if r.URL.Path == "/no" {
			http.Error(w, "not now", http.StatusConflict)
		}
	}))
	defer h.Close()
	if err := (SettleRequest{"a", "POST", "/merge?all=1"}).send(context.Background(), h.URL, "t"); err != nil {
		t.Error(err)
	}
	if err := (SettleRequest{"a", "GET", "/no"}).send(context.Background(), h.URL, ""); err == nil || !strings.Contains(err.Error(), "409: not now") {
		t.Errorf("error %v", err)
	}
	if want := []string{"POST /merge?all=1 Token t", "GET /no "}; !slices.Equal(got, want) {
		t.Errorf("requests %q, want %q", got, want)
	}
}
