package intake

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/verify"
)

// rejection is an answer that is not 2xx. The errors of this package are
// rejections; those of others become one by their kind.
type rejection struct {
	status       int
	code, detail string
	// allow and retryAfter are headers, "" for none.
	allow, retryAfter string
	// hangUp: the rest of the body is not worth reading, for either side.
	hangUp bool
}

// Error is the code.
func (r *rejection) Error() string { return "intake: " + r.code }

func methodNotAllowed(g *gate) *rejection {
	methods, _ := g.allowed()
	methods = slices.DeleteFunc(methods, func(m string) bool { return m == http.MethodPost })
	slices.Sort(methods)
	allow := strings.Join(append([]string{http.MethodPost}, slices.Compact(methods)...), ", ")
	return &rejection{status: http.StatusMethodNotAllowed, code: "method_not_allowed", detail: "This source allows " + allow, allow: allow}
}

func errPaused() *rejection {
	return &rejection{status: http.StatusServiceUnavailable, code: "unavailable", detail: "The source is paused", retryAfter: "60"}
}

func errMisconfigured() *rejection {
	return &rejection{status: http.StatusInternalServerError, code: "internal", detail: "Something went wrong on our side"}
}

// errUnverified says the same under every status that a provider may want.
func errUnverified(status int) *rejection {
	if status == 0 {
		status = http.StatusUnauthorized
	}
	return &rejection{status: status, code: "authentication_failed", detail: "The request could not be verified"}
}

func errUnconfirmed() *rejection {
	return &rejection{status: http.StatusServiceUnavailable, code: "unavailable", detail: "The subscription could not be confirmed", retryAfter: "60"}
}

func errTooLarge() *rejection {
	return &rejection{status: http.StatusRequestEntityTooLarge, code: "payload_too_large", detail: "The body is too large", hangUp: true}
}

func errTooSlow() *rejection {
	return &rejection{status: http.StatusRequestTimeout, code: "timeout", detail: "The body took too long", hangUp: true}
}

func errCutOff() *rejection {
	return &rejection{status: http.StatusBadRequest, code: "incomplete_body", detail: "The body broke off", hangUp: true}
}

// reply is an answer of 2xx, or of a handshake.
type reply struct {
	status      int
	contentType string // "" for no body
	body        string
	headers     map[string]string
}

// accepted is the answer to a request that was taken: what the provider demands,
// and for events what the source says in its place; else 202 with the ids.
func accepted(source *postern.Source, result *verify.Result, ids []postern.MessageID) *reply {
	given := result.Answer
	out := &reply{status: given.Status, contentType: given.ContentType, body: given.Body, headers: given.Headers}
	if result.Handshake != "" {
		return out
	}
	if source.Answer != 0 {
		out.status = source.Answer
	}
	if out.status == 0 {
		out.status = http.StatusAccepted
	}
	switch {
	case source.AnswerBody != "":
		out.contentType, out.body = source.AnswerContentType, source.AnswerBody
		if out.contentType == "" {
			out.contentType = "text/plain"
		}
	case given.Status == 0:
		out.contentType, out.body = "application/json", idsBody(ids)
	}
	return out
}

// idsBody names the message, or the messages of a batch.
func idsBody(ids []postern.MessageID) string {
	if len(ids) == 1 {
		return `{"id":"` + ids[0].String() + `"}` + "\n"
	}
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = `"` + id.String() + `"`
	}
	return `{"ids":[` + strings.Join(texts, ",") + "]}\n"
}

// write answers. What is in a body may be a stranger's choice, or a tenant's, on
// the operator's domain: no browser is to make a page of it, nobody to keep it.
func (out *reply) write(w http.ResponseWriter) {
	header := w.Header()
	for name, value := range out.headers {
		header.Set(name, value)
	}
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	if out.body == "" || out.status == http.StatusNoContent || out.status == http.StatusResetContent {
		w.WriteHeader(out.status)
		return
	}
	header.Set("Content-Type", out.contentType)
	header.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	w.WriteHeader(out.status)
	if _, err := io.WriteString(w, out.body); err != nil { //nolint:gosec // what is echoed has an alphabet, and see above
		return // the connection broke: there is nobody left to tell
	}
}

// answerError answers an error, and logs what is our own fault.
func (h *Handler) answerError(w http.ResponseWriter, r *http.Request, source *postern.Source, err error) {
	no := h.reject(r, source, err)
	if no.allow != "" {
		w.Header().Set("Allow", no.allow)
	}
	if no.retryAfter != "" {
		w.Header().Set("Retry-After", no.retryAfter)
	}
	if no.hangUp {
		w.Header().Set("Connection", "close")
	}
	answer(w, no.status, map[string]string{"code": no.code, "detail": no.detail})
}

// reject turns an error into an answer. What another part calls invalid was
// verified and is nothing the sender could mend, so that it is ours, too.
func (h *Handler) reject(r *http.Request, source *postern.Source, err error) *rejection {
	if no, ok := errors.AsType[*rejection](err); ok {
		return no
	}
	switch postern.KindOf(err) {
	case postern.NotFound:
		return &rejection{status: http.StatusNotFound, code: "not_found", detail: "There is no such source"}
	case postern.TooLarge:
		return errTooLarge()
	case postern.Unavailable, postern.RateLimited:
		return &rejection{status: http.StatusServiceUnavailable, code: "unavailable", detail: "Try again in a moment", retryAfter: "1"}
	}
	if r.Context().Err() == nil { // else the sender has gone, and the error is that
		h.Logger.ErrorContext(r.Context(), "inbound request failed", logSource, source.ID, logError, err)
	}
	return errMisconfigured()
}

// answer writes JSON, but for a status that has no body.
func answer(w http.ResponseWriter, status int, out map[string]string) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if status == http.StatusNoContent || status == http.StatusResetContent {
		w.WriteHeader(status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(out); err != nil {
		return // the connection broke: there is nobody left to tell
	}
}
