package postgres

import (
	"os"
	"testing"

	"github.com/postern-dev/postern/internal/pgtest"
)

var cluster = pgtest.New(pgtest.Config{Prepare: Migrate})

func TestMain(m *testing.M) { os.Exit(cluster.Main(m)) }
