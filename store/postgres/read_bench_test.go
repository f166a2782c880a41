package postgres

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// benchRows is how many messages BenchmarkReads reads among, over 30 days; another
// number by POSTERN_BENCH_MESSAGES.
const benchRows = 200_000

// rowsOfBench has a thousand applications, of which the first has half of all
// messages, two attempts of each message but every fiftieth, of which one in twenty
// is to be tried again.
const rowsOfBench = `DO $$ DECLARE total int := %d; BEGIN
	CREATE TEMP TABLE seed ON COMMIT DROP AS SELECT n, day, CASE WHEN n %% 2 = 1 THEN 1 ELSE 2 + n %% 999 END AS app,
		substring(int8send((day * 86400000::bigint + n) << 16) FOR 6) || '\x0000'::bytea || substring(int8send(n) FROM 3) || substring(int8send(hashint8(n)) FROM 3) AS id
	FROM (SELECT n, 20500 + n::bigint * 30 / (total + 1) AS day FROM generate_series(1, total) n) numbered;
	INSERT INTO message SELECT day, app, id, 0, n, (ARRAY['a', 'b', 'c'])[1 + n %% 3], 'application/json', '', '{x}', NULL, ARRAY[app * 10, app * 10 + 1], 2, NULL, '', NULL, 0
	FROM seed ORDER BY n;
	INSERT INTO attempt SELECT day, app, id, app * 10 + e, 1, id, CASE WHEN n %% 20 = 0 THEN 2 ELSE 3 END, '', n %% 20 <> 0, false, false, 0, 200, '',
		'https://example.com/hook', NULL, 1, 0, 0, 0, 0, 0, 1000, 2000
	FROM seed, generate_series(0, 1) e WHERE n %% 50 <> 0 ORDER BY n;
	INSERT INTO journal VALUES (0, 1, '') ON CONFLICT DO NOTHING;
	INSERT INTO head VALUES (0, 1, total + 1, 1, 0, 0, 0, 0, 0, 0) ON CONFLICT DO NOTHING;
END $$`

// BenchmarkReads is what reads cost on tables that nobody analysed, the server's
// part included.
func BenchmarkReads(b *testing.B) {
	n := benchRows
	if given, err := strconv.Atoi(os.Getenv("POSTERN_BENCH_MESSAGES")); err == nil {
		n = given
	}
	url := cluster.Database(b)
	conn := database(b, url, partitionsOfPlans, fmt.Sprintf(rowsOfBench, n))
	address, err := parseAddress(url)
	if err != nil {
		b.Fatal(err)
	}
	s := &Store{address: address}
	if s.reads, err = address.open(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(s.reads.Close)
	for _, read := range benchReads(b, s, uint64(n)+1) {
		b.Run(read.name, func(b *testing.B) {
			for b.Loop() {
				if err := read.once(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	if err := conn.Close(b.Context()); err != nil {
		b.Error(err)
	}
}

// benchRead is one of the reads that are timed.
type benchRead struct {
	name string
	once func() error
}

// benchReads are reads of a store with end-1 messages.
func benchReads(b *testing.B, s *Store, end uint64) []benchRead {
	ctx := b.Context()
	p, failed := store.Page{Limit: 50}, false
	newest, err := s.Messages(ctx, 1, store.MessageFilter{}, p)
	if err != nil {
		b.Fatal(err)
	}
	var keys []store.Placed
	for _, m := range newest.Messages {
		keys = append(keys, store.Placed{Endpoint: 10, Message: m.ID}, store.Placed{Endpoint: 11, Message: m.ID})
	}
	return []benchRead{
		{"message", func() error { _, err := s.Message(ctx, 1, keys[0].Message); return err }},
		{"standing", func() error {
			_, err := s.Standing(ctx, store.DeliveryKey{Application: 1, Endpoint: 10, Message: keys[0].Message})
			return err
		}},
		{"100 standings", func() error { _, err := s.Standings(ctx, 1, keys); return err }},
		{"page of 50 of half of all", func() error { _, err := s.Messages(ctx, 1, store.MessageFilter{}, p); return err }},
		{"page of 50 of a thousandth", func() error { _, err := s.Messages(ctx, 77, store.MessageFilter{}, p); return err }},
		{"page that finds nothing", func() error { _, err := s.Messages(ctx, 1, store.MessageFilter{Tag: "none"}, p); return err }},
		{"page of an endpoint that has none", func() error { _, err := s.Messages(ctx, 1, store.MessageFilter{Endpoint: 99}, p); return err }},
		{"page of 50 attempts", func() error { _, err := s.EndpointAttempts(ctx, 1, 10, store.AttemptFilter{}, p); return err }},
		{"page of attempts that finds nothing", func() error {
			_, err := s.EndpointAttempts(ctx, 1, 10, store.AttemptFilter{Succeeded: &failed}, p)
			return err
		}},
		{"outcomes of an endpoint, 10000", func() error {
			looked := 0
			return s.EachOutcome(ctx, 10, time.Time{}, time.Time{}, func(store.Outcome) bool { looked++; return looked < 10_000 })
		}},
		{"due, none", func() error { _, err := s.Due(ctx, 10, store.DueCursor{}, 256); return err }},
		{"scan that finds nothing of 4096", func() error {
			_, err := s.Scan(ctx, store.ScanQuery{Application: 1, Endpoint: 10, Before: end, Limit: 256, Examine: 4096})
			return err
		}},
		{"recover the last 2000", func() error {
			return s.Recover(ctx, end-2000, func(*postern.Message, []postern.EndpointNumber) error { return nil })
		}},
		{"recover all", func() error {
			return s.Recover(ctx, 1, func(*postern.Message, []postern.EndpointNumber) error { return nil })
		}},
		{"covered of half of all", func() error {
			return s.Covered(ctx, []store.BehindRow{{Endpoint: 10, Application: 1}}, plansLast, func(store.DeliveryKey) error { return nil })
		}},
	}
}
