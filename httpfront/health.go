package httpfront

import (
	"time"

	"github.com/valyala/fasthttp"

	"headgate/engine"
)

// health is /health, for any method: whether a write would be taken and synced.
func health(s *Server, c *fasthttp.RequestCtx, _ *engine.Principal) {
	h := s.engine.Health(s.ctx)
	b := append([]byte(nil), `{"name":"headgate", "message":`...)
	b = appendJSONString(b, h.Message)
	b = append(b, `, "status":`...)
	b = appendJSONString(b, h.Status)
	b = append(b, `, "checks":[`...)
	for i, check := range h.Checks {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"name":`...)
		b = appendJSONString(b, check.Name)
		b = append(b, `,"status":`...)
		b = appendJSONString(b, check.Status)
		b = append(b, `,"message":`...)
		b = appendJSONString(b, check.Message)
		b = append(b, '}')
	}
	b = append(b, `], "version": `...)
	b = appendJSONString(b, string(s.version))
	b = append(b, `, "commit": `...)
	b = appendJSONString(b, s.options.Commit)
	b = append(b, "}\n"...)
	s.answerProbe(c, h.Status == "pass")
	c.SetContentType(jsonType)
	c.Response.SetBodyRaw(b)
}

// ready is /ready, for any method: whether recovery is done.
func ready(s *Server, c *fasthttp.RequestCtx, _ *engine.Principal) {
	status := "ready"
	if !s.engine.Ready() {
		status = "starting"
	}
	started := s.engine.Started()
	b := append([]byte(nil), "{\n    \"status\": "...)
	b = appendJSONString(b, status)
	b = append(b, ",\n    \"started\": \""...)
	b = started.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, "\",\n    \"up\": \""...)
	b = append(b, time.Since(started).String()...)
	b = append(b, "\"\n}\n"...)
	s.answerProbe(c, status == "ready")
	c.SetContentType(jsonType)
	c.Response.SetBodyRaw(b)
}

// ping is GET and HEAD /ping: the server is there.
func ping(_ *Server, c *fasthttp.RequestCtx, _ *engine.Principal) { noContent(c) }

// links is GET /api/v2: what InfluxDB says that there is, for clients that look.
func links(_ *Server, c *fasthttp.RequestCtx, _ *engine.Principal) {
	c.SetContentType(jsonType)
	c.SetBodyString(apiLinks)
}

const apiLinks = `{"authorizations":"/api/v2/authorizations","backup":"/api/v2/backup","buckets":"/api/v2/buckets",` +
	`"checks":"/api/v2/checks","dashboards":"/api/v2/dashboards","delete":"/api/v2/delete",` +
	`"external":{"statusFeed":"https://www.influxdata.com/feed/json"},"flags":"/api/v2/flags","labels":"/api/v2/labels",` +
	`"me":"/api/v2/me","notificationEndpoints":"/api/v2/notificationEndpoints","notificationRules":"/api/v2/notificationRules",` +
	`"orgs":"/api/v2/orgs","plugins":"/api/v2/telegraf/plugins","query":{"analyze":"/api/v2/query/analyze",` +
	`"ast":"/api/v2/query/ast","self":"/api/v2/query","suggestions":"/api/v2/query/suggestions"},"restore":"/api/v2/restore",` +
	`"scrapers":"/api/v2/scrapers","setup":"/api/v2/setup","signin":"/api/v2/signin","signout":"/api/v2/signout",` +
	`"sources":"/api/v2/sources","swagger":"/api/v2/swagger.json","system":{"debug":"/debug/pprof","health":"/health",` +
	`"metrics":"/metrics"},"tasks":"/api/v2/tasks","telegrafs":"/api/v2/telegrafs","users":"/api/v2/users",` +
	`"variables":"/api/v2/variables","write":"/api/v2/write"}` + "\n"
