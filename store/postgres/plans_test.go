package postgres

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

// asked is a statement with what it is asked with, and the indexes that it must
// use, and no others, partitions' by the name of the whole table's.
type asked struct {
	arguments []any
	indexes   string
}

const (
	plansFirst, plansLast = 20500, 20537 // days that have partitions
	plansNow              = 20530
)

// samples are all statements of the read side: a new one is an error here until
// it is asked something.
func samples() map[string]asked {
	id := firstOf(plansNow * 86400_000)
	lo, hi := make([]byte, 20), []byte(maxID)
	first, last := int64(plansFirst-20), int64(plansLast+1000)
	messages := []any{int64(7), first, last, lo, hi, int64(10_000), []string{"a"}, "x", "y", int64(70), int64(51)}
	attempts := []any{int64(70), first, last, lo, hi, int64(10_000), int64(7), true, 2, true, []string{"a"}, "x", "y", int64(51)}
	return map[string]asked{
		"selectMessage":                {[]any{int64(7), id[:], int64(plansNow)}, "message_pkey"},
		"selectContent":                {[]any{int64(7), id[:], int64(plansNow)}, "content_pkey"},
		"selectMessagesOldest":         {messages, "attempt_pkey message_pkey"},
		"selectMessagesNewest":         {messages, "attempt_pkey message_pkey"},
		"selectDeadOldest":             {[]any{int64(7), int64(70), first, last, lo, hi, int64(51)}, "dead_pkey"},
		"selectDeadNewest":             {[]any{int64(7), int64(70), first, last, lo, hi, int64(51)}, "dead_pkey"},
		"selectFinals":                 {[]any{int64(7), id[:], int64(plansNow)}, "final_pkey message_pkey"},
		"selectAttempts":               {[]any{int64(7), id[:], int64(plansNow), int64(0), int64(0), int64(100)}, "attempt_pkey"},
		"selectEndpointAttemptsOldest": {attempts, "attempt_endpoint message_pkey"},
		"selectEndpointAttemptsNewest": {attempts, "attempt_endpoint message_pkey"},
		"selectOutcomes":               {[]any{int64(70), first, last, lo, hi, int64(2000)}, "attempt_endpoint"},
		"selectStandings": {[]any{int64(7), []int64{70, 71}, [][]byte{id[:], id[:]}, []int64{plansNow, plansNow}, first, last},
			"attempt_pkey delivery_pkey final_pkey message_pkey"},
		"selectNext":    {[]any{int64(0)}, "head_pkey"},
		"selectJournal": {[]any{int64(0), first, int64(1), int64(1 << 40), int64(1000)}, "attempt_pkey delivery_pkey final_pkey message_position"},
		"selectEdge":    {[]any{int64(7), first, lo, int64(1000)}, "message_pkey"},
		"selectScan": {[]any{int64(7), first, last, lo, hi, int64(0), int64(1 << 40), int64(70), int64(100)},
			"attempt_pkey delivery_pkey final_pkey message_pkey"},
		"selectCovered": {[]any{int64(7), first, last, lo, hi, int64(0), []int64{70, 71}, int64(2000)},
			"attempt_pkey delivery_pkey final_pkey message_pkey"},
		"selectDue":            {[]any{int64(0), int64(70), int64(0), lo, int64(100)}, "delivery_schedule"},
		"selectSchedules":      {[]any{int64(0), int64(0), int64(1000)}, "delivery_schedule"},
		"selectBehind":         {[]any{int64(0)}, "behind_pkey"},
		"selectWaitingOldest":  {[]any{int64(70), lo, hi, int64(7), int64(51)}, "delivery_pkey"},
		"selectWaitingNewest":  {[]any{int64(70), lo, hi, int64(7), int64(51)}, "delivery_pkey"},
		"selectRefusalsOldest": {[]any{lo, lo, hi, int64(51)}, "refusal_pkey"},
		"selectRefusalsNewest": {[]any{lo, lo, hi, int64(51)}, "refusal_pkey"},
		"selectRefusal":        {[]any{lo, id[:]}, "refusal_pkey"},
		"findDigest":           {[]any{"e", "00000000000000000000000000000000", int64(1)}, "dedupe_pkey"},
		"oldestDay":            {[]any{first}, "message_position"},

		"exportTombstones": {[]any{int64(0)}, "tombstone_pkey"},
		"exportCatalogue":  {[]any{"a", int64(0), lo}, "catalogue_pkey"},
		"exportMessages":   {[]any{int64(plansNow), int64(7), id[:]}, "content_pkey message_pkey"},
		"exportAttempts":   {[]any{int64(plansNow), int64(7), id[:], int64(0), int64(0)}, "attempt_pkey"},
		"exportFinals":     {[]any{int64(plansNow), int64(7), id[:], int64(0)}, "final_pkey"},
		"exportDead":       {[]any{int64(plansNow), int64(7), int64(70), id[:]}, "dead_pkey"},
		"exportRows":       {[]any{int64(70), id[:]}, "delivery_pkey"},
		"exportBehind":     {[]any{int64(0), int64(0)}, "behind_pkey"},
		"exportHealth":     {[]any{int64(0)}, "health_pkey"},
		"exportRefusals":   {[]any{lo, id[:]}, "refusal_pkey"},
		"exportRecords":    {[]any{"e", "00000000-0000-0000-0000-000000000000"}, "dedupe_pkey"},
	}
}

// TestPlans: no statement reads a table whole or sorts what an index has in
// order, whether the planner knows nothing of the tables, something that is no
// longer true, or all; whether it plans for the parameters or for any.
func TestPlans(t *testing.T) {
	sql := statements(t)
	asking := samples()
	if diff := cmp.Diff(slices.Sorted(maps.Keys(sql)), slices.Sorted(maps.Keys(asking))); diff != "" {
		t.Fatalf("statements of the package, and what is asked here (-want +got):\n%s", diff)
	}
	for _, schema := range []struct {
		name string
		make []string
	}{
		{"empty", nil},
		{"30 partitions", []string{partitionsOfPlans}},
		{"unanalysed", []string{partitionsOfPlans, rowsOfPlans}},
		{"analysed", []string{partitionsOfPlans, rowsOfPlans, "ANALYZE"}},
		{"analysed while empty", []string{partitionsOfPlans, "ANALYZE", rowsOfPlans}},
	} {
		t.Run(schema.name, func(t *testing.T) {
			conn := database(t, cluster.Database(t), schema.make...)
			for _, name := range slices.Sorted(maps.Keys(sql)) {
				for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
					p := explain(t, conn, sql[name], mode, asking[name].arguments)
					p.check(t, name+", "+mode, asking[name].indexes, schema.make != nil)
				}
			}
		})
	}
}

// database is a connection to one with tables, and what is made in it.
func database(t testing.TB, url string, make ...string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) }) // the database goes with it
	for _, sql := range make {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	return conn
}

// partitionsOfPlans makes a month of days; rowsOfPlans has 6,000 messages over
// some of them, for 300 applications of which one has half.
const (
	partitionsOfPlans = `DO $$ DECLARE day int; name text; BEGIN
		FOR day IN 20500..20537 LOOP
			FOREACH name IN ARRAY ARRAY['message', 'content', 'attempt', 'final', 'dead'] LOOP
				EXECUTE format('CREATE TABLE IF NOT EXISTS %I PARTITION OF %I FOR VALUES FROM (%s) TO (%s)', name || '_d' || day, name, day, day + 1);
			END LOOP;
		END LOOP;
	END $$`
	rowsOfPlans = `DO $$ BEGIN
		CREATE TEMP TABLE seed ON COMMIT DROP AS SELECT n, 20520 + n / 500 AS day, CASE WHEN n % 2 = 0 THEN 7 ELSE 8 + n % 300 END AS app,
			substring(int8send(((20520 + n / 500) * 86400000::bigint + n) << 16) FOR 6) || '\x0000'::bytea || substring(int8send(n) FROM 3) || '\x000000000000'::bytea AS id
		FROM generate_series(1, 5999) n;
		INSERT INTO message SELECT day, app, id, 0, n, 'a', 'application/json', '', '{x}', NULL, ARRAY[app * 10, app * 10 + 1], 2, NULL, '', NULL, 0 FROM seed;
		INSERT INTO content SELECT day, app, id, '{}' FROM seed;
		INSERT INTO attempt SELECT day, app, id, app * 10 + e, 1, id, 3, '', true, false, false, 0, 200, '', 'https://example.com/', NULL, 1, 0, 0, 0, 0, 0, 0, 1
		FROM seed, generate_series(0, 1) e;
		INSERT INTO final SELECT day, app, id, app * 10, 5, '', 0, 1 FROM seed WHERE n % 50 = 0;
		INSERT INTO dead SELECT day, app, app * 10, id FROM seed WHERE n % 20 = 0;
		INSERT INTO delivery SELECT app * 10, id, app, 0, 1, 1, 1, n, 1, 0 FROM seed WHERE n % 10 = 0;
		INSERT INTO refusal SELECT int8send(n), id, '', '', '', '', false, NULL, '' FROM seed WHERE n % 10 = 0;
	END $$`
)

// statements are the constants of type statement in the package's source.
func statements(t *testing.T) map[string]string {
	t.Helper()
	files := token.NewFileSet()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var source []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(files, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		source = append(source, f)
		onlyConstants(t, files, f)
	}
	// Nothing is imported: constants are known all the same.
	checker := types.Config{Importer: nothing{}, Error: func(error) {}}
	pkg, _ := checker.Check("postgres", files, source, nil) // it lacks what is imported
	list := map[string]string{}
	for _, name := range pkg.Scope().Names() {
		if c, ok := pkg.Scope().Lookup(name).(*types.Const); ok && types.TypeString(c.Type(), nil) == "postgres.statement" {
			list[name] = constant.StringVal(c.Val())
		}
	}
	return list
}

type nothing struct{}

func (nothing) Import(path string) (*types.Package, error) {
	return nil, fmt.Errorf("no %s here", path)
}

// onlyConstants: what is asked is a constant's name, so that none is missed.
func onlyConstants(t *testing.T, files *token.FileSet, f *ast.File) {
	ast.Inspect(f, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		method, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || method.Sel.Name != "each" && method.Sel.Name != "one" || len(call.Args) < 2 {
			return true
		}
		if _, named := call.Args[1].(*ast.Ident); !named {
			t.Errorf("%s: a statement without a name", files.Position(call.Pos()))
		}
		return true
	})
}

// plan is what EXPLAIN tells of one node.
type plan struct {
	Node     string `json:"Node Type"`
	Relation string `json:"Relation Name"`
	Index    string `json:"Index Name"`
	Cond     string `json:"Index Cond"`
	Plans    []plan `json:"Plans"`
}

func explain(t *testing.T, conn *pgx.Conn, sql, mode string, arguments []any) plan {
	t.Helper()
	ctx := t.Context()
	tx, err := conn.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(ctx) }() // it changed settings alone
	if _, err := tx.Exec(ctx, pinned, mode); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(ctx, "PREPARE asked AS "+sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	parameters := make([]string, len(arguments))
	for i := range arguments {
		parameters[i] = fmt.Sprintf("$%d", i+1)
	}
	var text []byte
	execute := "EXPLAIN (FORMAT JSON) EXECUTE asked (" + strings.Join(parameters, ", ") + ")"
	if err := tx.QueryRow(ctx, execute, append([]any{pgx.QueryExecModeSimpleProtocol}, arguments...)...).Scan(&text); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	if _, err := tx.Exec(ctx, "DEALLOCATE asked"); err != nil {
		t.Fatal(err)
	}
	var explained []struct{ Plan plan }
	if err := json.Unmarshal(text, &explained); err != nil {
		t.Fatal(err)
	}
	return explained[0].Plan
}

// check holds a plan to its indexes. Where tables have no partitions there is
// nothing that could be read or is in order.
func (p plan) check(t *testing.T, name, indexes string, partitions bool) {
	t.Helper()
	used := map[string]bool{}
	p.walk(func(n plan) {
		switch {
		case strings.HasSuffix(n.Node, "Seq Scan"):
			t.Errorf("%s: reads all of %s", name, n.Relation)
		case partitions && strings.Contains(n.Node, "Sort") || strings.Contains(n.Node, "Hash") || strings.Contains(n.Node, "Materialize") || strings.Contains(n.Node, "Bitmap"):
			t.Errorf("%s: %s", name, n.Node)
		case n.Index != "":
			index := ofTable(n.Index)
			if index == "journal_pkey" { // a row for each node
				break
			}
			used[index] = true
			if n.Cond == "" {
				t.Errorf("%s: all of index %s", name, n.Index)
			}
		}
	})
	if want := strings.Fields(indexes); partitions && !cmp.Equal(want, slices.Sorted(maps.Keys(used))) {
		t.Errorf("%s: uses %v, want %v", name, slices.Sorted(maps.Keys(used)), want)
	}
}

func (p plan) walk(visit func(plan)) {
	visit(p)
	for _, child := range p.Plans {
		child.walk(visit)
	}
}

// ofTable is the name that an index of a partition has in the whole table.
func ofTable(index string) string {
	index = regexp.MustCompile(`_d\d+_`).ReplaceAllString(index, "_")
	return strings.NewReplacer("attempt_endpoint_id_idx", "attempt_endpoint", "message_journal_position_idx", "message_position").Replace(index)
}
