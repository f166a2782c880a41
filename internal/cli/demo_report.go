package cli

import "time"

// demoReport is what `postern demo --json` prints. Scripts read it: a name
// keeps its meaning, and new ones may come.
type demoReport struct {
	// OK: every step held. Otherwise Failure says which did not, and what was
	// expected; what comes after that step is empty.
	OK      bool   `json:"ok"`
	Failure string `json:"failure,omitempty"`
	// Seconds is how long it all took, starting and stopping included.
	Seconds float64 `json:"seconds"`
	// Server is the address of the API that all of this was read from.
	Server        string         `json:"server"`
	ApplicationID string         `json:"applicationId"`
	Source        demoSource     `json:"source"`
	Endpoints     []demoEndpoint `json:"endpoints"`
	Received      demoReceived   `json:"received"`
	Refused       demoRefused    `json:"refused"`
	Deliveries    []demoDelivery `json:"deliveries"`
}

// demoSource is the inbound address that the push events are sent to.
type demoSource struct {
	ID       string `json:"id"`
	Provider string `json:"provider"`
}

// demoEndpoint is who listens.
type demoEndpoint struct {
	ID  string `json:"id"`
	UID string `json:"uid"`
	URL string `json:"url"`
}

// demoReceived is the push event that was signed rightly.
type demoReceived struct {
	Status    int    `json:"status"`
	MessageID string `json:"messageId"`
	EventType string `json:"eventType"`
}

// demoRefused is the push event that was changed on its way, as the source's
// list of refusals has it.
type demoRefused struct {
	Status    int    `json:"status"`
	RefusalID string `json:"refusalId"`
	Reason    string `json:"reason"`
	Detail    string `json:"detail"`
}

// demoDelivery is the message on its way to one endpoint, with every try.
type demoDelivery struct {
	EndpointID  string        `json:"endpointId"`
	EndpointUID string        `json:"endpointUid"`
	State       string        `json:"state"`
	Attempts    []demoAttempt `json:"attempts"`
}

// demoAttempt is one try as the API has it, and what the receiver thought of
// its signature.
type demoAttempt struct {
	ID                 string    `json:"id"`
	Number             int       `json:"number"`
	ResponseStatusCode int       `json:"responseStatusCode"`
	ResponseDurationMs int64     `json:"responseDurationMs"`
	State              string    `json:"state"`
	Timestamp          time.Time `json:"timestamp"`
	SignatureVerified  bool      `json:"signatureVerified"`
}
