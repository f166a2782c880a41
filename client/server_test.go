package client_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/client"
)

func TestServer(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	if got := must[*client.Health](t)(w.Health(ctx)); got.Status != "ok" {
		t.Errorf("health: %+v", got)
	}
	limits := map[string]client.Limit{}
	for _, l := range must[[]client.Limit](t)(w.Limits(ctx)) {
		limits[l.Name] = l
	}
	if l := limits["page.entries"]; l.Value != 250 || l.Unit != postern.UnitCount || l.Description == "" || len(limits) < 20 {
		t.Errorf("limits: %+v", limits)
	}
	nodes := must[[]client.Node](t)(w.Nodes(ctx))
	if len(nodes) != 1 || nodes[0].Name == "" || !nodes[0].Live || !nodes[0].Leader || !nodes[0].Self || len(nodes[0].Journals) != 1 || !nodes[0].Journals[0].Main {
		t.Errorf("nodes: %+v", nodes)
	}
	w.front = func(rw http.ResponseWriter, _ *http.Request) bool {
		rw.WriteHeader(http.StatusServiceUnavailable)
		return true
	}
	if got, err := w.client(t, client.Options{Retries: -1}).Health(ctx); got != nil || !errors.Is(err, postern.ErrUnavailable) {
		t.Errorf("in bad health: %+v, %v", got, err)
	}
}
