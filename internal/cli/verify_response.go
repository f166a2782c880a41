package cli

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"slices"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/verify"
)

// responseTo is what a source answers: what the provider wants to hear, else the
// server's own words. The message's id in them is one of zeros, as there is none.
func responseTo(answer verify.Answer, refused error) batchResponse {
	out := batchResponse{Status: answer.Status, Headers: [][2]string{}, Body: []byte(answer.Body)}
	for _, name := range slices.Sorted(maps.Keys(answer.Headers)) {
		out.Headers = append(out.Headers, [2]string{name, answer.Headers[name]})
	}
	switch {
	case answer.ContentType != "":
		out.Headers = append(out.Headers, [2]string{"Content-Type", answer.ContentType})
	case refused != nil:
		out.Status = cmp.Or(out.Status, http.StatusUnauthorized)
		out.json(map[string]string{"code": "authentication_failed", "detail": "The request could not be verified"})
	case out.Status == 0:
		out.Status = http.StatusAccepted
		out.json(map[string]string{"id": postern.MessageID{}.String()})
	}
	return out
}

func (r *batchResponse) json(body map[string]string) {
	text, err := json.Marshal(body)
	if err != nil {
		return // a map of strings marshals
	}
	r.Body = append(text, '\n')
	r.Headers = append(r.Headers, [2]string{"Content-Type", "application/json"})
}
