package cli_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/postern-dev/postern/client"
	"github.com/postern-dev/postern/internal/cli"
	"github.com/postern-dev/postern/store/postgres"
)

// TestFencedServerGoesOn: a server whose journal is taken from it serves on, at the
// same address and with another journal, and takes nothing back.
func TestFencedServerGoesOn(t *testing.T) {
	database := cluster.Database(t)
	server := serve(t, nil, "--store", database, "--admin-key", "admin", "--node", "a")
	server.send(t, "/app", `{"name":"Shop","uid":"shop"}`)
	server.send(t, "/app/shop/msg", `{"eventType":"order.paid","payload":{}}`)

	rival, err := postgres.Open(t.Context(), database, postgres.Options{Node: "a", Reclaim: true})
	if err != nil {
		t.Fatal(err)
	}
	defer rival.Close()
	server.stderr.await(t, `"msg":"(serving again)"`)
	server.send(t, "/app/shop/msg", `{"eventType":"order.paid","payload":{}}`)
	if count := strings.Count(server.stderr.String(), "starting anew"); count != 1 {
		t.Errorf("said %d times that it starts anew:\n%s", count, server.stderr)
	}
	if live := journalsOf(t, database, "a"); live != 2 {
		t.Errorf("%d journals are held, want the rival's and the server's", live)
	}
	select {
	case <-rival.Failed():
		t.Error("the server took its journal back")
	default:
	}
	if code := server.stop(); code != cli.ExitOK {
		t.Errorf("exit %d:\n%s", code, server.stderr)
	}
	if live := journalsOf(t, database, "a"); live != 1 {
		t.Errorf("%d journals are held after the stop, want the rival's", live)
	}
}

// TestNodesCommand: as a table, as JSON, and what keeps it from knowing.
func TestNodesCommand(t *testing.T) {
	server := serve(t, nil, "--store", "memory:", "--admin-key", "admin")
	place := []string{"nodes", "--url", server.url, "--key", "admin"}
	if out := must(t, place...); !strings.HasPrefix(out, "NODE ") || strings.Count(out, "\n") != 2 || !strings.Contains(out, "live, leads, answers") {
		t.Errorf("printed\n%s", out)
	}
	var out struct{ Nodes []client.Node }
	if err := json.Unmarshal([]byte(must(t, append(place, "--json")...)), &out); err != nil || len(out.Nodes) != 1 || !out.Nodes[0].Self {
		t.Errorf("as JSON: %+v, %v", out, err)
	}
	refused(t, cli.ExitUsage, "which key", "nodes", "--url", server.url)
	refused(t, cli.ExitUsage, "--url and --key", "nodes", "--url", "ftp://x", "--key", "admin")
	refused(t, cli.ExitError, "Invalid or missing token", "nodes", "--url", server.url, "--key", "other")
	server.stop()
	refused(t, cli.ExitError, "is a server running at", place...)
}

// TestServersShareADatabase: each has a journal of its own, without a setting.
func TestServersShareADatabase(t *testing.T) {
	database := cluster.Database(t)
	for range 2 {
		serve(t, nil, "--store", database, "--admin-key", "admin")
	}
	if live := journalsOf(t, database, "%/%"); live != 2 {
		t.Errorf("%d journals are held, want one for each", live)
	}
}

// journalsOf counts the journals that nodes with names like this hold.
func journalsOf(t *testing.T, database, name string) (count int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM heartbeat WHERE node LIKE $1 AND NOT released", name).Scan(&count); err != nil {
		t.Fatal(err)
	}
	return count
}
