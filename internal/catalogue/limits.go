package catalogue

import (
	"slices"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/schema"
)

// Limits are the bounds of what users configure, as the checks know them; those
// of schemas are among them.
func Limits() []postern.Limit {
	return slices.Concat([]postern.Limit{
		postern.CountLimit("name.characters", maxName, "A name, uid, event type or channel has at most so many characters."),
		postern.CountLimit("description.characters", maxDescription, "A description has at most so many characters."),
		postern.BytesLimit("metadata.size", maxMetadata, "Metadata as JSON is at most so large."),
		postern.BytesLimit("endpoint.url", maxURL, "An endpoint's URL is at most so long."),
		postern.CountLimit("endpoint.channels", maxChannels, "An endpoint selects at most so many channels."),
		postern.BytesLimit("endpoint.headers", maxHeaderBytes, "An endpoint's headers come to at most so much, names and values."),
		postern.CountLimit("endpoint.secrets", maxSecrets, "An endpoint has at most so many secrets that still live."),
		postern.BytesLimit("source.config", maxConfig, "A source's settings as JSON are at most so large."),
		postern.CountLimit("source.prefix", maxPrefix, "A source's event type prefix has at most so many characters."),
		postern.CountLimit("source.secrets", maxSecrets, "A source has at most so many secrets."),
		postern.CountLimit("source.eventTypes", maxMapped, "A source gives at most so many event types by the provider's names."),
		postern.CountLimit("source.forwardHeaders", maxForwarded, "A source passes on at most so many headers by name."),
		postern.BytesLimit("source.answer", maxAnswer, "A source's own answer is at most so large."),
		postern.CountLimit("eventType.schemas", maxSchemas, "An event type has at most so many schemas, one for each version."),
		postern.CountLimit("eventType.declared", maxDeclared, "What comes in from sources adds its event types to the catalogue until there are so many."),
	}, schema.Limits())
}
