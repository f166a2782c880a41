package postern

import "time"

// Source is an inbound address for one provider: it verifies a request and
// publishes it as a message in its application.
type Source struct {
	ID          SourceID
	Application ApplicationNumber
	// UID is the user's own name for it, unique in its application; "" for none.
	UID  string
	Name string
	// Provider is an id of the provider catalogue, such as "github".
	Provider string
	// Token is the last part of the inbound address, and a credential: whoever
	// knows it may send requests that are looked at.
	Token Sealed
	// TokenHash finds the source of a request: SHA-256 of the token.
	TokenHash [32]byte
	// Secrets check signatures; any may match.
	Secrets []Sealed
	// Previous is the secret that was last rotated out; nil for none. It
	// verifies nothing: it is for telling the owner that a refused request was
	// signed with it.
	Previous Sealed
	// Config holds the provider's settings by their snake_case names, but for
	// those that are secrets, which SealedConfig holds. A name is in one of them.
	Config       map[string]string
	SealedConfig map[string]Sealed
	// EventTypePrefix goes before the provider's event name; may be "".
	EventTypePrefix string
	// EventTypes gives event types by the provider's names, instead of prefix
	// and name.
	EventTypes map[string]string
	// Methods are accepted besides those of the provider's definition.
	Methods []string
	// Answer is the HTTP status for an accepted request; 0 for the provider's,
	// which is 202 unless its definition says otherwise.
	Answer int
	// AnswerBody is what it is answered with as AnswerContentType; "" for the
	// provider's, or the message's id.
	AnswerBody, AnswerContentType string
	// Forward has deliveries carry the inbound request's method, path, query
	// and headers, or of the headers only ForwardHeaders where there are any.
	Forward        bool
	ForwardHeaders []string
	// DedupeBody recognises a second copy by its body alone, for providers
	// that send no delivery id.
	DedupeBody bool
	Paused     bool

	CreatedAt, UpdatedAt time.Time
}

// Refusal is an inbound request that did not verify, kept for inspection.
type Refusal struct {
	ID     RefusalID
	Source SourceID
	// Reason is a word of a closed set, such as "signature_mismatch"; Detail
	// explains it and holds neither secrets nor expected signatures.
	Reason, Detail string
	// Request has masks in the places of credentials. Credentials holds what
	// stood there, for checking the request once more; nil for nothing.
	Request     InboundRequest
	Credentials Sealed
	ContentType string
	Body        []byte
	// BodyTruncated: the body was over the cap, and Body is its beginning.
	BodyTruncated bool
}

// Verification is what came of checking a request.
type Verification struct {
	// Reason and Detail are a Refusal's; both are "" for a request that verifies.
	Reason, Detail string
}

// Verified reports whether the request is what it says.
func (v Verification) Verified() bool { return v.Reason == "" }

// CreatedAt is when the request was refused.
func (r *Refusal) CreatedAt() time.Time { return r.ID.Time() }
