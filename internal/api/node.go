package api

import (
	"time"

	"github.com/postern-dev/postern"
)

// nodeOut is a server among those that share a store.
type nodeOut struct {
	Name      string     `json:"name"`
	Since     time.Time  `json:"since"`
	ExpiresAt *time.Time `json:"expiresAt"` // of its lease, which it renews; null for a store that it has alone
	Live      bool       `json:"live"`
	Leader    bool       `json:"leader"` // it does what one node is enough for
	Self      bool       `json:"self"`   // it is the one that answers

	Journals []journalOut `json:"journals" api:"list"`
}

// journalOut is a journal that a node holds, and with it the deliveries of the
// messages in it.
type journalOut struct {
	Number uint16 `json:"number"`
	Main   bool   `json:"main"` // it accepts messages with this one
	Idle   bool   `json:"idle"` // nothing of it is left to be delivered
}

// listNodes lists all nodes, all on one page. Names are not unique, so that there
// is nothing that a second page could begin behind.
func (h *handler) listNodes(c *call, _ none) (listing[nodeOut], error) {
	nodes := []postern.Node{{Name: "postern", Since: h.began, Live: true, Leads: true, Self: true, Journals: []postern.JournalLease{{Main: true}}}}
	if h.Nodes != nil {
		var err error
		if nodes, err = h.Nodes(c.r.Context()); err != nil {
			return listing[nodeOut]{}, err
		}
	}
	return listed(window{}, nodes, true, "", func(n postern.Node) string { return n.Name }, showNode), nil
}

func showNode(n postern.Node) nodeOut {
	out := nodeOut{
		Name: n.Name, Since: n.Since.UTC(), Live: n.Live, Leader: n.Leads, Self: n.Self,
		Journals: make([]journalOut, 0, len(n.Journals)),
	}
	if !n.ExpiresAt.IsZero() {
		at := n.ExpiresAt.UTC()
		out.ExpiresAt = &at
	}
	for _, j := range n.Journals {
		out.Journals = append(out.Journals, journalOut(j))
	}
	return out
}
