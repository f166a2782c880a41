package accept

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/postern-dev/postern/internal/pgtest"
	"github.com/postern-dev/postern/store/postgres"
)

var cluster = pgtest.New(pgtest.Config{Prepare: postgres.Migrate})

// tests are all of the package's, with the database that some need.
type tests struct{ m *testing.M }

// Run implements goleak.TestingM.
func (r tests) Run() int { return cluster.Main(r.m) }

func TestMain(m *testing.M) { goleak.VerifyTestMain(tests{m}) }
