package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Page is what one kind of page was like.
type Page struct {
	Name    string     `json:"name"`
	Entries float64    `json:"entries"` // of a page, on average
	Bytes   float64    `json:"bytes"`   // likewise
	Took    *Histogram `json:"took"`    // from the request to the answer's last byte
}

// pageAnswer is what is looked at of a page.
type pageAnswer struct {
	Data     []json.RawMessage `json:"data"`
	Iterator string            `json:"iterator"`
	Done     bool              `json:"done"`
}

// maxPage bounds the answer to one request, in bytes.
const maxPage = 16 << 20

// readAll asks for every kind of page so often, all kinds in turn, so that what
// disturbs the machine for a while disturbs them all.
func (s *serverSubject) readAll(ctx context.Context, kinds []pageKind, times int) ([]Page, error) {
	read := make([]Page, len(kinds))
	for i, k := range kinds {
		read[i] = Page{Name: k.name, Took: &Histogram{}}
	}
	for n := range times {
		for i, k := range kinds {
			if err := s.readOne(ctx, k, n, &read[i]); err != nil {
				return nil, fmt.Errorf("%s: %w", k.name, err)
			}
		}
	}
	for i := range read {
		read[i].Entries /= float64(times)
		read[i].Bytes /= float64(times)
	}
	return read, nil
}

// readOne makes the n-th request of a kind.
func (s *serverSubject) readOne(ctx context.Context, k pageKind, n int, into *Page) error {
	path := "/api/v1/app/" + s.app + k.path
	if k.tail != "" {
		path = "/api/v1" + k.path
	}
	if len(k.at) > 0 {
		path = strings.ReplaceAll(path, "{at}", k.at[n%len(k.at)])
	}
	request, err := s.request(ctx, k.method(), path, k.body)
	if err != nil {
		return err
	}
	if k.tail != "" {
		return s.readTail(request, k, into)
	}
	began := time.Now()
	response, err := s.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxPage))
	took := time.Since(began)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: status %d: %.300s", path, response.StatusCode, body)
	}
	into.Took.Add(took)
	into.Bytes += float64(len(body))
	return k.check(body, into)
}

// check counts a list's entries.
func (k pageKind) check(body []byte, into *Page) error {
	if !bytes.HasPrefix(body, []byte(`{"data":`)) {
		return nil
	}
	var found pageAnswer
	if err := json.Unmarshal(body, &found); err != nil {
		return err
	}
	into.Entries += float64(len(found.Data))
	if len(found.Data) < k.least {
		return fmt.Errorf("%d entries, want at least %d", len(found.Data), k.least)
	}
	return nil
}

// readTail listens until the first event that it waits for, then hangs up.
func (s *serverSubject) readTail(request *http.Request, k pageKind, into *Page) error {
	ctx, cancel := context.WithTimeout(request.Context(), callTimeout)
	defer cancel()
	request = request.WithContext(ctx)
	if k.from != "" {
		request.Header.Set("Last-Event-ID", k.from)
	}
	began := time.Now()
	_, err := s.listen(request, k.tail)
	into.Took.Add(time.Since(began))
	into.Entries++
	return err
}

// listen is the line that the first event of this name begins with, or the first id.
func (s *serverSubject) listen(request *http.Request, event string) (string, error) {
	response, err := s.client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	prefix := "event: " + event
	if event == "id" {
		prefix = "id: "
	}
	for in := bufio.NewReader(io.LimitReader(response.Body, maxPage)); ; {
		line, err := in.ReadString('\n')
		if err != nil {
			return "", fmt.Errorf("no %s came: %w", event, err)
		}
		if strings.HasPrefix(line, prefix) {
			return strings.TrimSpace(strings.TrimPrefix(line, prefix)), nil
		}
	}
}

// tailID is where a tail of the application begins now.
func (s *serverSubject) tailID(ctx context.Context, app string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	request, err := s.request(ctx, http.MethodGet, "/api/v1/tail?app_id="+app, nil)
	if err != nil {
		return "", err
	}
	return s.listen(request, "id")
}

// pageRows is a line for each kind of page, a heading first.
func (s Sample) pageRows() [][]string {
	rows := [][]string{{fmt.Sprintf("%s, round %d: page", s.Run, s.Round), "requests", "entries", "kB", "p50 ms", "p99 ms", "max ms"}}
	for _, p := range s.Pages {
		rows = append(rows, []string{
			p.Name, fmt.Sprint(p.Took.Count()), fmt.Sprintf("%.0f", p.Entries), fmt.Sprintf("%.1f", p.Bytes/1e3),
			fmt.Sprintf("%.2f", millis(p.Took.Quantile(0.5))), fmt.Sprintf("%.2f", millis(p.Took.Quantile(0.99))), fmt.Sprintf("%.2f", millis(p.Took.Max())),
		})
	}
	return rows
}
