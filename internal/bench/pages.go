package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	// pageRequests is how often each kind of page is asked for, less often where there
	// are less than pageShare times as many messages, but pageLeast times. A tenth of
	// that comes before, to fill caches.
	pageRequests, pageLeast, pageShare = 500, 10, 2000
	// pageChannels take turns over the messages. Those of the first wait for a retry
	// at one endpoint, those of the second have failed for good at another.
	pageChannels = 16
	// pageTag is on every message but the first few, which have pageOldTag: a filter
	// by that finds nothing for long.
	pageTag, pageOldTag = "load", "old"
	pageOld             = 100
	// pageAnchors is how many places of a list are read at in turn.
	pageAnchors = 50
)

// archive is a store that is read: who has what in it.
type archive struct {
	app string
	// all has got every message, waiting and dead have what was said above, and idle
	// was never sent anything.
	all, waiting, dead, idle string
	count                    int
	// messages and attempts are places in the history, the attempts those of all.
	messages, attempts []string
	events             []string // ids that the publisher gave
	middle             [2]time.Time
	beginning          string // the place of a tail before everything
}

// pages reads a history as clients do, one page after the other, and tells how long
// each kind of page takes and what of it stays in memory.
func pages(ctx context.Context, s *session) (Sample, error) {
	sample := newSample()
	a, err := s.archive(ctx, &sample, s.run.sized(s.options))
	if err != nil {
		return sample, err
	}
	// What remains of the load in memory is not the pages'.
	if _, err := s.server.crash(ctx, func() error { return nil }); err != nil {
		return sample, err
	}
	if err := s.server.findPlaces(ctx, &a); err != nil {
		return sample, err
	}
	requests, kinds := max(pageLeast, min(pageRequests, a.count/pageShare)), a.kinds()
	if _, err := s.server.readAll(ctx, kinds, max(1, requests/10)); err != nil {
		return sample, err
	}
	if err := s.rest(ctx, &sample); err != nil {
		return sample, err
	}
	before := sample.Figures[figureResident]
	if sample.Pages, err = s.server.readAll(ctx, kinds, requests); err != nil {
		return sample, err
	}
	s.notePeak(&sample)
	if err := s.rest(ctx, &sample); err != nil {
		return sample, err
	}
	sample.Figures[figureGrown] = sample.Figures[figureResident] - before
	for _, p := range sample.Pages {
		sample.Figures[figureSlowestPage] = max(sample.Figures[figureSlowestPage], millis(p.Took.Quantile(0.99)))
	}
	sample.Figures[figurePageWalk], err = s.server.walkInVain(ctx, a)
	return sample, err
}

// archive fills the store through the API: delivered, retrying and dead deliveries of
// count messages, with event ids, channels and tags.
func (s *session) archive(ctx context.Context, sample *Sample, count int) (archive, error) {
	a := archive{app: s.server.app, count: count}
	var err error
	if a.beginning, err = s.server.tailID(ctx, a.app); err != nil {
		return a, err
	}
	for id, e := range map[*string]endpoint{
		&a.all:     {URL: s.url(kindFast, 0)},
		&a.waiting: {URL: s.url(kindFlaky, 1), Channels: []string{channelName(0)}, RetrySchedule: []int{patience, patience}},
		&a.dead:    {URL: s.url(kindFlaky, 2), Channels: []string{channelName(1)}, RetrySchedule: []int{1}},
		&a.idle:    {URL: s.url(kindSink, 3), Channels: []string{"idle"}},
	} {
		if *id, err = s.server.newEndpoint(ctx, a.app, e); err != nil {
			return a, err
		}
	}
	s.endpoints = 1 // that counts what it gets
	old := min(pageOld, count/10)
	for _, part := range []struct {
		tag   string
		count int
	}{{pageOldTag, old}, {pageTag, count - old}} {
		to := s.server.targetOf(a.app)
		to.Channels, to.Tag, to.Repeat = pageChannels, part.tag, true
		if err := s.deliverPart(ctx, sample, publishCommand{Target: to, Count: part.count}); err != nil {
			return a, err
		}
	}
	if err := s.awaitEnd(ctx, "/api/v1/app/"+a.app+"/delivery?state=retrying&endpoint_id="+a.dead); err != nil {
		return a, err
	}
	_, err = s.quiet(ctx)
	return a, err
}

// awaitEnd waits until a list is empty.
func (s *session) awaitEnd(ctx context.Context, path string) error {
	for deadline := time.Now().Add(s.options.Stall + maxArrivalWait/10); time.Now().Before(deadline); {
		var found pageAnswer
		if err := s.server.call(ctx, http.MethodGet, path, nil, &found); err != nil {
			return err
		}
		if len(found.Data) == 0 && found.Done {
			return nil
		}
		if err := pause(ctx, rowsPoll); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s does not come to an end", path)
}

// deliverPart publishes, and waits until the endpoint of all messages has got them.
func (s *session) deliverPart(ctx context.Context, sample *Sample, cmd publishCommand) error {
	cmd.First = s.reserve(cmd.Count)
	if err := s.expect(ctx, 0, 1, cmd); err != nil {
		return err
	}
	sent, err := s.send(ctx, s.load, cmd)
	if err != nil {
		return err
	}
	if _, err := s.arrivals(ctx, sent.Acked, 1, maxArrivalWait); err != nil {
		return err
	}
	got, err := s.received(ctx)
	if err != nil {
		return err
	}
	sample.count(sent, got.Paths[0])
	return nil
}

// findPlaces looks for places all over the history, by time: nothing else tells a
// client where to begin.
func (s *serverSubject) findPlaces(ctx context.Context, a *archive) error {
	first, last, err := s.span(ctx, a.app)
	if err != nil {
		return err
	}
	at := func(share float64) time.Time { return first.Add(time.Duration(share * float64(last.Sub(first)))) }
	a.middle = [2]time.Time{at(0.5), at(0.5).Add(max(last.Sub(first)/100, time.Second))}
	for n := range pageAnchors {
		before := "&limit=1&before=" + moment(at((float64(n)+1)/(pageAnchors+1)))
		message, err := s.firstID(ctx, "/api/v1/app/"+a.app+"/msg?with_content=false"+before)
		if err != nil {
			return err
		}
		attempt, err := s.firstID(ctx, "/api/v1/app/"+a.app+"/attempt/endpoint/"+a.all+"?with_content=false"+before)
		if err != nil {
			return err
		}
		if message != "" && attempt != "" {
			a.messages, a.attempts = append(a.messages, message), append(a.attempts, attempt)
		}
		a.events = append(a.events, fmt.Sprintf("load-%d", seqBase+n*a.count/pageAnchors))
	}
	if len(a.messages) == 0 {
		return errors.New("no message was found by time")
	}
	// Neighbours in the list of places shall not lie in the same block of a table.
	for _, list := range [][]string{a.messages, a.attempts, a.events} {
		slices.SortFunc(list, func(x, y string) int { return strings.Compare(reversed(x), reversed(y)) })
	}
	return nil
}

// span is when the first and the last message of an application came.
func (s *serverSubject) span(ctx context.Context, app string) (first, last time.Time, err error) {
	for order, at := range map[string]*time.Time{"ascending": &first, "descending": &last} {
		var found struct {
			Data []struct {
				Timestamp time.Time `json:"timestamp"`
			} `json:"data"`
		}
		path := "/api/v1/app/" + app + "/msg?with_content=false&limit=1&order=" + order
		if err := s.call(ctx, http.MethodGet, path, nil, &found); err != nil {
			return first, last, err
		}
		if len(found.Data) == 0 {
			return first, last, errors.New("nothing is stored")
		}
		*at = found.Data[0].Timestamp
	}
	return first, last, nil
}

// firstID is the id of a list's first entry; "" for an empty one.
func (s *serverSubject) firstID(ctx context.Context, path string) (string, error) {
	var found struct {
		Data []created `json:"data"`
	}
	if err := s.call(ctx, http.MethodGet, path, nil, &found); err != nil || len(found.Data) == 0 {
		return "", err
	}
	return found.Data[0].ID, nil
}

// walkInVain follows a filter that nothing passes to the end of the list: how many
// pages that takes shows that each looks at a part only.
func (s *serverSubject) walkInVain(ctx context.Context, a archive) (float64, error) {
	path := "/api/v1/app/" + a.app + "/msg?tag=" + absent
	for next, n := "", 1; ; n++ {
		var found pageAnswer
		if err := s.call(ctx, http.MethodGet, path+next, nil, &found); err != nil {
			return 0, err
		}
		switch {
		case found.Done:
			return float64(n), nil
		case found.Iterator == "":
			return 0, fmt.Errorf("page %d of %s tells neither an end nor where to go on", n, path)
		}
		next = "&iterator=" + found.Iterator
	}
}

func moment(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func reversed(text string) string {
	b := []byte(text)
	slices.Reverse(b)
	return string(b)
}
