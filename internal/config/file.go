package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// fromFile reads the YAML file that the last of the other values names, if any.
func (c *Config) fromFile(read func(string) ([]byte, error), others []given) ([]given, error) {
	var name given
	for _, g := range others {
		if g.setting == fileSetting && g.text != "" {
			name = g
		}
	}
	if name.text == "" {
		return nil, nil
	}
	if read == nil {
		read = readFile
	}
	data, err := read(name.text)
	if err != nil {
		return nil, &Error{Setting: fileSetting, Origin: name.origin, Problem: err.Error()}
	}
	return c.parseFile(filepath.Base(name.text), data)
}

// parseFile takes the values out of a YAML file: one document, one mapping,
// each value a scalar or, where the setting is a list, a list of scalars.
// Anchors, aliases and tags are refused: settings need none, and without them
// a small file cannot become a large one.
func (c *Config) parseFile(name string, data []byte) ([]given, error) {
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, &Error{Setting: fileSetting, Origin: Origin(name), Problem: "not YAML: " + firstLine(err)}
	}
	var pairs []*ast.MappingValueNode
	for i, doc := range file.Docs {
		switch body := doc.Body.(type) {
		case nil, *ast.NullNode, *ast.CommentGroupNode:
		case *ast.MappingNode:
			pairs = body.Values
		case *ast.MappingValueNode:
			pairs = []*ast.MappingValueNode{body}
		default:
			return nil, &Error{Setting: fileSetting, Origin: Origin(name), Problem: "not a mapping; write lines of the form listen: 127.0.0.1:8080"}
		}
		if i > 0 {
			return nil, &Error{Setting: fileSetting, Origin: Origin(name), Problem: "more than one document; write all settings into one"}
		}
	}
	return c.parsePairs(name, pairs)
}

func (c *Config) parsePairs(name string, pairs []*ast.MappingValueNode) ([]given, error) {
	var values []given
	var errs []error
	lines := map[string]int{}
	for _, pair := range pairs {
		token := pair.Key.GetToken()
		key, line := token.Value, token.Position.Line
		origin := Origin(fmt.Sprintf("%s:%d", name, line))
		text, problem := c.parsePair(key, pair.Value)
		if earlier := lines[key]; earlier > 0 {
			problem = fmt.Sprintf("set before, in line %d; keep one of the two", earlier)
		}
		lines[key] = line
		if problem != "" {
			errs = append(errs, &Error{Setting: key, Origin: origin, Problem: problem})
			continue
		}
		values = append(values, given{key, text, origin})
	}
	return values, errors.Join(errs...)
}

// parsePair is the text of one value, or what is wrong with it. A key that no
// setting has is left for apply to refuse.
func (c *Config) parsePair(key string, value ast.Node) (text, problem string) {
	if key == fileSetting {
		return "", "a file cannot name the file; give --config or POSTERN_CONFIG"
	}
	list := false
	for _, s := range c.settings() {
		list = list || s.name == key && s.list
	}
	sequence, isList := value.(*ast.SequenceNode)
	switch {
	case !isList:
		if text, ok := scalar(value); ok {
			return text, ""
		}
		return "", "takes a plain value" + map[bool]string{true: " or a list", false: ""}[list]
	case !list:
		return "", "takes one value, not a list"
	}
	parts := make([]string, len(sequence.Values))
	for i, node := range sequence.Values {
		part, ok := scalar(node)
		if !ok {
			return "", "takes a list of plain values"
		}
		parts[i] = part
	}
	return strings.Join(parts, ","), ""
}

// scalar is the text of a plain value as it is written in the file; null is
// empty, which counts as not given.
func scalar(node ast.Node) (string, bool) {
	switch node := node.(type) {
	case *ast.NullNode:
		return "", true
	case *ast.StringNode:
		return node.Value, true
	case *ast.LiteralNode:
		return strings.TrimSpace(node.Value.Value), true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return node.GetToken().Value, true
	}
	return "", false
}

// firstLine drops the excerpt of the file from a parser's error: it could hold
// a secret.
func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
