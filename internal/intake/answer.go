package intake

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/postern-dev/postern"
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

func methodNotAllowed(s *postern.Source) *rejection {
	allow := strings.Join(append([]string{http.MethodPost}, s.Methods...), ", ")
	return &rejection{status: http.StatusMethodNotAllowed, code: "method_not_allowed", detail: "This source allows " + allow, allow: allow}
}

func errPaused() *rejection {
	return &rejection{status: http.StatusServiceUnavailable, code: "unavailable", detail: "The source is paused", retryAfter: "60"}
}

func errMisconfigured() *rejection {
	return &rejection{status: http.StatusInternalServerError, code: "internal", detail: "Something went wrong on our side"}
}

func errUnverified() *rejection {
	return &rejection{status: http.StatusUnauthorized, code: "authentication_failed", detail: "The request could not be verified"}
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

// answerAccepted answers with the source's status, else with 202.
func answerAccepted(w http.ResponseWriter, status int, id postern.MessageID) {
	if status == 0 {
		status = http.StatusAccepted
	}
	answer(w, status, map[string]string{"id": id.String()})
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
