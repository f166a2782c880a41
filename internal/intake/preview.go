package intake

import (
	"net/http"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/verify"
)

// Preview writes what a source with no words of its own would tell the sender of
// a request, given what Receive said of it. Nothing is published: the ids of
// messages are made up. It is for showing a configuration at work.
func Preview(w http.ResponseWriter, result *verify.Result, refused error) {
	if refused != nil {
		no := errUnverified(result.Answer.Status)
		answer(w, no.status, map[string]string{"code": no.code, "detail": no.detail})
		return
	}
	ids := make([]postern.MessageID, len(result.Events))
	for i := range ids {
		ids[i][0] = byte(i + 1)
	}
	accepted(&postern.Source{}, result, ids).write(w)
}
