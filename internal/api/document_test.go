package api_test

import (
	"os"
	"strings"
	"testing"

	"github.com/postern-dev/postern/internal/api"
)

// docs/api.md is the table, printed. `make docs` rewrites it.
func TestAPIDocumentIsUpToDate(t *testing.T) {
	const file = "../../docs/api.md"
	if os.Getenv("UPDATE") == "1" {
		if err := os.WriteFile(file, []byte(api.Document()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != api.Document() {
		t.Errorf("%s differs from the table of operations; run: make docs", file)
	}
}

func TestDocument(t *testing.T) {
	document := api.Document()
	for _, line := range []string{
		"| List applications | `GET /app` | 200 | admin, read-only | `limit`, `iterator`, `order`, `exclude_apps_with_no_endpoints`, ",
		"| Whether requests can be served | `GET /health` | 200 | none needed |  |\n",
		"| Publish a message | `POST /app/{app}/msg` | 202 | admin, application, publish-only |",
		"| List endpoints | `GET /app/{app}/endpoint` | 200 | admin, application, read-only, portal |",
		"\n## Event type\n",
	} {
		if strings.Count(document, line) != 1 {
			t.Errorf("not once there: %s", line)
		}
	}
}
