package storetest

import (
	"context"
	"errors"
	"fmt"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// CheckCover asserts that nothing is lost: every routed delivery of a message
// that is still kept has its message's position at or after Low, or a behind
// row of its endpoint from its message or before, or a row of its own, or a
// record that ended it, or an endpoint or application that is no more. The
// error names the first deliveries that have none of these.
//
// It reads the whole store, through the seam, and asks no particular driver.
func CheckCover(ctx context.Context, s store.Store) error {
	c := cover{s: s, endpoints: map[postern.EndpointNumber]bool{}, behind: map[postern.EndpointNumber]postern.MessageID{}}
	if err := c.load(ctx); err != nil {
		return err
	}
	for _, app := range c.applications {
		if err := c.application(ctx, app); err != nil {
			return err
		}
	}
	return errors.Join(c.bare...)
}

// maxBare is how many deliveries an error names.
const maxBare = 10

type cover struct {
	s            store.Store
	head         store.Head
	applications []postern.ApplicationNumber
	endpoints    map[postern.EndpointNumber]bool
	behind       map[postern.EndpointNumber]postern.MessageID
	bare         []error
}

func (c *cover) load(ctx context.Context) error {
	err := c.s.Load(ctx, func(record any) error {
		switch r := record.(type) {
		case *postern.Application:
			c.applications = append(c.applications, r.Number)
		case *postern.Endpoint:
			c.endpoints[r.Number] = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	rows, err := c.s.Behind(ctx)
	if err != nil {
		return err
	}
	for _, row := range rows {
		c.behind[row.Endpoint] = row.From
	}
	c.head, err = c.s.Head(ctx)
	return err
}

func (c *cover) application(ctx context.Context, app postern.ApplicationNumber) error {
	page := store.Page{Ascending: true, Limit: 1000}
	for {
		list, err := c.s.Messages(ctx, app, store.MessageFilter{}, page)
		if err != nil {
			return err
		}
		for _, m := range list.Messages {
			if err := c.message(ctx, m); err != nil {
				return err
			}
		}
		if list.Done || len(c.bare) >= maxBare {
			return nil
		}
		page.After = list.Next
	}
}

func (c *cover) message(ctx context.Context, m *postern.Message) error {
	if m.ID.Position() >= c.head.Low {
		return nil
	}
	for _, endpoint := range m.Routes {
		from, behind := c.behind[endpoint]
		if !c.endpoints[endpoint] || (behind && from.Compare(m.ID) <= 0) {
			continue
		}
		standing, err := c.s.Standing(ctx, key(m, endpoint))
		if err != nil {
			return err
		}
		if !standing.Final && standing.Row == nil {
			c.bare = append(c.bare, fmt.Errorf("delivery of %s (position %d, low %d) to endpoint %d is not covered: %d attempts, no row, no record that ended it, behind row %t",
				m.ID, m.ID.Position(), c.head.Low, endpoint, standing.Attempts, behind))
		}
	}
	return nil
}
