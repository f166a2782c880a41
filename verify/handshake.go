package verify

// HandshakeKind is what a Handshake does with its challenge.
type HandshakeKind string

// The kinds of handshake.
const (
	HandshakeEcho    HandshakeKind = "echo"
	HandshakeCompute HandshakeKind = "compute"
	HandshakeFixed   HandshakeKind = "fixed"
	HandshakeConsent HandshakeKind = "consent"
	HandshakeConfirm HandshakeKind = "confirm"
	HandshakeStore   HandshakeKind = "store"
)

// handshake is a Handshake with settings filled in.
type handshake struct {
	kind       HandshakeKind
	conditions []condition
	require    []requirement
}

// handshakes resolves those of a definition; path is where they stand there.
func (c *compiler) handshakes(path string, defs []Handshake) []handshake {
	var all []handshake
	for i, def := range defs {
		at := indexed(path, i) + "."
		if !c.chosen(at+"for", def.For) {
			continue
		}
		all = append(all, handshake{kind: def.Kind, conditions: c.conditions(at+"if", def.If), require: c.requirements(at+"require", def.Require)})
	}
	return all
}
