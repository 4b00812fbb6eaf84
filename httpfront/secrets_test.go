package httpfront

import (
	"bytes"
	"context"
	"encoding/base64"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"headgate/engine"
)

// TestSecretsStayIn sends secrets through every route, in every place that a client may
// put them in, and looks for them in all that comes out: logs at the level debug,
// answers, metrics, profiles, a backup and every file of the data directory.
func TestSecretsStayIn(t *testing.T) {
	const (
		token    = "SECRET-token-7f3a"
		password = "SECRET-password-7f3a"
		wrong    = "SECRET-wrong-7f3a"
		changed  = "SECRET-changed-7f3a"
	)
	var logged lockedBuffer
	log := slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	dir := t.TempDir()
	f := newFront(t, frontConfig{fresh: true, options: func(eo *engine.Options, o *Options) {
		eo.Dir, eo.Logger = dir, log
		o.Logger, o.PprofEnabled = log, true
	}, server: func(s *Server) {
		// One that panics, for the log of panics.
		s.router = newRouter(append(s.routes(), route{method: "POST", pattern: "/panic", auth: authV1, style: v1, handler: panics}))
		s.metrics.attach(s)
	}})
	look := func(where, text string) {
		t.Helper()
		if i := strings.Index(text, "SECRET"); i >= 0 {
			t.Errorf("%s: ...%q...", where, text[max(0, i-80):min(len(text), i+80)])
		}
	}
	ask := func(where, method, target string, h http.Header, body string) string {
		t.Helper()
		a := f.request(t, method, target, h, []byte(body))
		var head strings.Builder
		a.Header.Del("Location") // repeats the client's own target to it
		_ = a.Header.Write(&head)
		look(where, head.String()+a.body)
		return a.body
	}
	r := engine.SetupRequest{Username: "ann", Password: password, Org: "acme", Bucket: "b0", Token: token}
	if _, err := f.e.Setup(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	headers := []http.Header{
		{"Authorization": {"Token " + token}},
		{"Authorization": {"Token " + wrong}},
		{"Authorization": {"Bearer " + wrong + "\x01"}},
		{"Authorization": {"Basic U0VDUkVU"}}, // SECRET, without a colon
		{"Authorization": {"SECRET"}},
		{"Cookie": {sessionCookie + "=" + wrong}},
	}
	body := `{"password":"` + changed + `","username":"ann","token":{"SECRET":1},"name":7,"start":"x"}`
	for _, route := range f.s.router.all {
		if strings.HasSuffix(route.pattern, "/backup") || route.method == "DELETE" || route.pattern == pathPprof+"/{profile}" {
			continue
		}
		method := strings.Replace(route.method, "*", "POST", 1)
		target := strings.NewReplacer("{id}", "0000000000000001", "{user}", "0000000000000002").Replace(route.pattern)
		if !strings.HasPrefix(target, "/") {
			target = "/nothing"
		}
		body := body
		if target == pathWriteV1 || target == pathWriteV2 {
			body = "bad line" // lines are no secret: answers and logs quote them
		}
		for _, h := range headers {
			ask(method+" "+target, method, target+"?u=ann&p="+wrong+"&q=SHOW+DATABASES&db=b0&org=acme&bucket=b0", h, body)
			ask(method+" "+target, method, target+"?q=SHOW+DATABASES&db=b0&org=acme&bucket=b0", h, body)
		}
	}
	ask("the right password", "POST", "/write?db=b0&u=any&p="+token, nil, "m f=1")
	me := http.Header{"Authorization": {"Token " + token}}
	ask("signing in", "POST", "/api/v2/signin", http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte("ann:"+password))}}, "")
	ask("a new password", "PUT", "/api/v2/me/password", me, `{"password":"`+changed+`"}`)
	for _, page := range []string{"/metrics", "/health", "/ready", "/debug/pprof/cmdline", "/debug/pprof/goroutine?debug=2", "/debug/pprof/heap?debug=1", "/api/v2/authorizations", "/api/v2/users", "/api/v2/setup"} {
		ask(page, "GET", page, me, "")
	}
	var backup bytes.Buffer
	m, err := f.e.Backup(context.Background(), f.e.Operator(), "test", &backup)
	if err != nil {
		t.Fatal(err)
	}
	look("the backup's manifest", strings.Join(strings.Fields(slog.AnyValue(m).String()), " "))
	f.stop(t)
	look("the log", logged.String())
	if !strings.Contains(logged.String(), "panic") {
		t.Errorf("the panic is not in the log: %s", logged.String())
	}
	files := 0
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		files++
		look(path, string(b))
		return err
	})
	if err != nil || files < 3 {
		t.Errorf("%d files: %v", files, err)
	}
}

func panics(*Server, *fasthttp.RequestCtx, *engine.Principal) { panic("for the test") }
