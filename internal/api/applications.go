package api

import (
	"strings"

	"github.com/postern-dev/postern"
)

// examinedApplications bounds how many applications a list that leaves some out
// looks at.
const examinedApplications = 1000

// omissions are which applications a list leaves out: those without endpoints,
// those that have none but disabled ones, and those that have none but at Svix
// Play, a page to look at deliveries.
type omissions struct{ bare, disabled, play bool }

// leavesOut is what call.omissions reads.
func leavesOut() params {
	return params{
		withFlag("exclude_apps_with_no_endpoints", "Leave out applications without endpoints.", false),
		withFlag("exclude_apps_with_disabled_endpoints", "Leave out applications all of whose endpoints are disabled.", false),
		withFlag("exclude_apps_with_svix_play_endpoints", "Leave out applications all of whose endpoints are at Svix Play.", false),
	}
}

func (c *call) omissions() (o omissions, err error) {
	for name, flag := range map[string]*bool{
		"exclude_apps_with_no_endpoints":        &o.bare,
		"exclude_apps_with_disabled_endpoints":  &o.disabled,
		"exclude_apps_with_svix_play_endpoints": &o.play,
	} {
		if *flag, err = c.flag(name, false); err != nil {
			return o, err
		}
	}
	return o, nil
}

// listApplications lists the oldest first unless told otherwise. Where some are
// left out it looks at a bounded number; a page may be empty then without being
// the last.
func (h *handler) listApplications(c *call, _ none) (listing[applicationOut], error) {
	w, err := c.window(false)
	if err != nil {
		return listing[applicationOut]{}, err
	}
	o, err := c.omissions()
	if err != nil {
		return listing[applicationOut]{}, err
	}
	page, err := listPage(w, postern.ParseApplicationID)
	if err != nil {
		return listing[applicationOut]{}, err
	}
	records, next, more := h.applications(page, o)
	id := func(a *postern.Application) string { return a.ID.String() }
	return listed(w, records, !more, next, id, renderApplication), nil
}

// applications fills a page with those that are not left out; next is where it
// goes on, "" for behind the last of them.
func (h *handler) applications(page postern.ListPage, o omissions) (kept []*postern.Application, next string, more bool) {
	if o == (omissions{}) {
		kept, more = h.Applications.Applications(page)
		return kept, "", more
	}
	for examined := 0; examined < examinedApplications; {
		records, more := h.Applications.Applications(page)
		for i, a := range records {
			page.After = a.ID.String()
			if h.omits(o, a.Number) {
				continue
			}
			if kept = append(kept, a); len(kept) == page.Limit {
				return kept, page.After, more || i+1 < len(records)
			}
		}
		if !more {
			return kept, "", false
		}
		examined += len(records)
	}
	return kept, page.After, true
}

// omits goes by the application's endpoints as they are.
func (h *handler) omits(o omissions, app postern.ApplicationNumber) bool {
	page := postern.ListPage{Limit: maxLimit}
	enabled, elsewhere := !o.disabled, !o.play
	for {
		endpoints, more := h.Endpoints.Endpoints(app, page)
		if len(endpoints) == 0 && page.After == "" {
			return o.bare
		}
		for _, e := range endpoints {
			enabled, elsewhere = enabled || e.Enabled(), elsewhere || !atSvixPlay(e.URL)
			if enabled && elsewhere {
				return false
			}
			page.After = e.ID.String()
		}
		if !more {
			return true
		}
	}
}

// atSvixPlay knows both addresses that it has had.
func atSvixPlay(url string) bool {
	return strings.HasPrefix(url, "https://play.svix.com/") || strings.HasPrefix(url, "https://api.play.svix.com/")
}
