// Package page serves what a browser sees until there is a dashboard: one
// server-rendered page with the version, the store's figures and where to read
// on, and the page that portal links lead to. Neither asks for a key, so neither
// shows anything of an application.
package page

import (
	"bytes"
	"context"
	"html/template"
	"net/http"
	"strconv"
	"time"
)

// Figures are what the page shows.
type Figures struct {
	Version string
	// Waiting counts deliveries in memory and rows that wait for a retry.
	Lanes, Behind, Waiting int
	Rows, StoreBytes       int64
	OldestWaiting          time.Duration
}

// Page serves "/" and "/portal".
type Page struct {
	figures func(ctx context.Context) (Figures, error)
	html    *template.Template
}

// New makes the page; figures is asked at each request.
func New(figures func(ctx context.Context) (Figures, error)) *Page {
	funcs := template.FuncMap{"bytes": formatBytes, "age": func(d time.Duration) string { return d.Round(time.Second).String() }}
	return &Page{figures: figures, html: template.Must(template.New("").Funcs(funcs).Parse(source))}
}

// ServeHTTP answers GET and HEAD.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	name, data := "portal", Figures{}
	if r.URL.Path == "/" {
		var err error
		if data, err = p.figures(r.Context()); err != nil {
			http.Error(w, "the figures are not to be had now", http.StatusServiceUnavailable)
			return
		}
		name = "home"
	}
	var out bytes.Buffer
	if err := p.html.ExecuteTemplate(&out, name, data); err != nil {
		http.Error(w, "the page could not be made", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	if r.Method == http.MethodGet {
		_, _ = out.WriteTo(w) // the browser may be gone
	}
}

// formatBytes is a size as people read it, in powers of 1024.
func formatBytes(n int64) string {
	units := [...]string{"B", "KiB", "MiB", "GiB", "TiB"}
	size, unit := float64(n), 0
	for size >= 1024 && unit < len(units)-1 {
		size, unit = size/1024, unit+1
	}
	return strconv.FormatFloat(size, 'f', min(unit, 1), 64) + " " + units[unit]
}

const source = `{{define "head"}}<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Postern</title>
<style>
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 42rem; margin: 3rem auto; padding: 0 1rem }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.5rem }
dt { opacity: .7 } dd { margin: 0; font-variant-numeric: tabular-nums }
</style>{{end}}
{{define "home"}}{{template "head"}}
<h1>Postern</h1>
<p>Webhooks in, webhooks out. This server is up.</p>
<dl>
<dt>Version</dt><dd>{{.Version}}</dd>
<dt>Store</dt><dd>{{bytes .StoreBytes}}</dd>
<dt>Endpoints with recent work</dt><dd>{{.Lanes}}{{if .Behind}}, {{.Behind}} behind{{end}}</dd>
<dt>Deliveries in memory</dt><dd>{{.Waiting}}</dd>
<dt>Waiting for a retry</dt><dd>{{.Rows}}</dd>
<dt>Longest wait for a first try</dt><dd>{{age .OldestWaiting}}</dd>
</dl>
<p>The API is under <code>/api/v1</code>, <a href="api/v1/health">health</a> and <a href="metrics">metrics</a> are open.
A dashboard comes with a later version.</p>
{{end}}
{{define "portal"}}{{template "head"}}
<h1>Webhook portal</h1>
<p>Here the owners of an application will manage their endpoints, look at deliveries and send them again.
This version has no portal yet; the same can be done over the API with the key in this page's address.</p>
{{end}}`
