package cli

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/client"
	"github.com/postern-dev/postern/store"
	"github.com/postern-dev/postern/store/embedded"
	"github.com/postern-dev/postern/store/postgres"
)

// storedKeys are the keys in a store that no server holds. No engine runs on
// it: one would go on delivering, under settings that are not the server's.
type storedKeys struct {
	store store.Store
	apps  []*postern.Application
	keys  []*postern.Key
}

var _ keyRing = (*storedKeys)(nil)

// heldHint is what is to be done about a store that a server has.
const heldHint = "a server holds it: use --url and --key, or stop it first"

// openStoredKeys opens a store that exists; a folder that is misspelt is not
// made, nor are tables in a database without.
func openStoredKeys(ctx context.Context, url string) (_ keyRing, err error) {
	var st store.Store
	switch {
	case strings.HasPrefix(url, "file:"):
		st, err = openFolder(ctx, url)
	case isPostgres(url):
		st, err = openDatabase(ctx, url)
	default:
		return nil, usage("--store: want file:DIR or postgres://..., the store of a server; others are reached through their server, with --url")
	}
	if err != nil {
		return nil, err
	}
	s := &storedKeys{store: st}
	if err := st.Load(ctx, s.add); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return s, nil
}

// openDatabase opens the database of a server that has stopped.
func openDatabase(ctx context.Context, url string) (store.Store, error) {
	address, _, err := splitAddress(url)
	if err != nil {
		return nil, err
	}
	node, err := postgres.Held(ctx, address)
	if err == nil && node != "" {
		err = fmt.Errorf("%s has the database; if it was killed, that ends within 10 seconds\n%s", node, heldHint)
	}
	if err != nil {
		return nil, err
	}
	return postgres.Open(ctx, address, postgres.Options{Node: processName(), NoMigrate: true})
}

// openFolder opens the folder of a server that has stopped.
func openFolder(ctx context.Context, url string) (store.Store, error) {
	dir := strings.TrimPrefix(url, "file:")
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) == 0 {
		err = errors.New("the folder is empty")
	}
	if err != nil {
		return nil, fmt.Errorf("there is no store at %s: %w", url, err)
	}
	st, err := embedded.Open(ctx, url, embedded.Options{})
	if errors.Is(err, postern.ErrUnavailable) {
		return nil, fmt.Errorf("%w\n%s", err, heldHint)
	}
	return st, err
}

// add takes what it needs of a catalogue.
func (s *storedKeys) add(record any) error {
	switch r := record.(type) {
	case *postern.Application:
		s.apps = append(s.apps, r)
	case *postern.Key:
		if r.Scope != postern.ScopePortal { // visitors come and go by themselves
			s.keys = append(s.keys, r)
		}
	}
	return nil
}

// create implements keyRing. The command has checked what the catalogue of a
// server would: the scope, and which scopes go with an application.
func (s *storedKeys) create(ctx context.Context, in client.KeyIn) (*client.Key, error) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	ids := &postern.IDSource{Now: time.Now, Random: rand.Reader}
	id, err := ids.Next()
	if err != nil {
		return nil, err
	}
	// What a token looks like is nobody's business; that it holds no dot is.
	token := "pk_" + rand.Text() + rand.Text()
	key := &postern.Key{ID: id, Name: in.Name, Scope: in.Scope, Hash: sha256.Sum256([]byte(token)), CreatedAt: now}
	if in.ExpiresAt != nil {
		key.ExpiresAt = *in.ExpiresAt
	}
	if in.Application != "" {
		at := slices.IndexFunc(s.apps, func(a *postern.Application) bool {
			return a.ID.String() == in.Application || a.UID == in.Application
		})
		if at < 0 {
			return nil, fmt.Errorf("--app: there is no application %s in the store", in.Application)
		}
		key.Application = s.apps[at].Number
	}
	if err := s.commit(ctx, store.Change{Put: key}); err != nil {
		return nil, err
	}
	out := s.render(key)
	out.Token = token
	return out, nil
}

// list is the newest first, as the API lists them.
func (s *storedKeys) list(context.Context) ([]client.Key, error) {
	list := make([]client.Key, len(s.keys))
	slices.SortFunc(s.keys, func(a, b *postern.Key) int { return b.ID.Compare(a.ID) })
	for i, key := range s.keys {
		list[i] = *s.render(key)
	}
	return list, nil
}

// revoke implements keyRing. The next server that starts does not know the key.
func (s *storedKeys) revoke(ctx context.Context, id string) error {
	at := slices.IndexFunc(s.keys, func(k *postern.Key) bool { return k.ID.String() == id })
	if at < 0 {
		return noSuchKey(id)
	}
	return s.commit(ctx, store.Change{Delete: s.keys[at]})
}

// Close releases the store.
func (s *storedKeys) Close() error { return s.store.Close() }

// commit makes one change durable. All else that a batch carries along stays
// as the last server left it.
func (s *storedKeys) commit(ctx context.Context, change store.Change) error {
	head, err := s.store.Head(ctx)
	if err != nil {
		return err
	}
	head.Batch++
	return s.store.Commit(ctx, &store.Batch{Head: head, Changes: []store.Change{change}})
}

// render shows a key as the API does.
func (s *storedKeys) render(k *postern.Key) *client.Key {
	out := &client.Key{ID: k.ID, Name: k.Name, Scope: k.Scope, CreatedAt: k.CreatedAt}
	if !k.ExpiresAt.IsZero() {
		out.ExpiresAt = &k.ExpiresAt
	}
	if !k.LastUsedAt.IsZero() {
		out.LastUsedAt = &k.LastUsedAt
	}
	for _, app := range s.apps {
		if k.Application != 0 && app.Number == k.Application {
			out.ApplicationID = &app.ID
		}
	}
	return out
}
