package catalogue

import "github.com/postern-dev/postern"

// Limits are the bounds of what users configure, as the checks know them.
func Limits() []postern.Limit {
	return []postern.Limit{
		postern.CountLimit("name.characters", maxName, "A name, uid, event type or channel has at most so many characters."),
		postern.CountLimit("description.characters", maxDescription, "A description has at most so many characters."),
		postern.BytesLimit("metadata.size", maxMetadata, "Metadata as JSON is at most so large."),
		postern.BytesLimit("endpoint.url", maxURL, "An endpoint's URL is at most so long."),
		postern.CountLimit("endpoint.channels", maxChannels, "An endpoint selects at most so many channels."),
		postern.BytesLimit("endpoint.headers", maxHeaderBytes, "An endpoint's headers come to at most so much, names and values."),
		postern.CountLimit("endpoint.secrets", maxSecrets, "An endpoint has at most so many secrets that still live."),
		postern.BytesLimit("source.config", maxConfig, "A source's settings as JSON are at most so large."),
		postern.CountLimit("source.prefix", maxPrefix, "A source's event type prefix has at most so many characters."),
	}
}
