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
)

// storedKeys are the keys in a store that no server holds. No engine runs on
// it: one would go on delivering, under settings that are not the server's.
type storedKeys struct {
	store store.Store
	apps  []*postern.Application
	keys  []*postern.Key
}

var _ keyRing = (*storedKeys)(nil)

// openStoredKeys opens a store that exists; a folder that is misspelt is not
// made.
func openStoredKeys(ctx context.Context, url string) (keyRing, error) {
	dir, ok := strings.CutPrefix(url, "file:")
	if !ok {
		return nil, usage("--store: want file:DIR, the folder of a server; other stores are reached through their server, with --url")
	}
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) == 0 {
		err = errors.New("the folder is empty")
	}
	if err != nil {
		return nil, fmt.Errorf("there is no store at %s: %w", url, err)
	}
	st, err := embedded.Open(ctx, url, embedded.Options{})
	if errors.Is(err, postern.ErrUnavailable) {
		return nil, fmt.Errorf("%w\na server holds it: use --url and --key, or stop it first", err)
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

// Close releases the folder.
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
