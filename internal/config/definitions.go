package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/postern-dev/postern/verify"
)

// ReadProviders reads files with the user's own provider definitions and joins
// them with the built-in ones. A file is YAML or JSON and holds one definition
// or a list of them, with the members of verify.Definition. Nil reads files
// from the disk. Each fault is a line that names the file and the field; with
// any the catalogue is nil.
func ReadProviders(files []string, read func(name string) ([]byte, error)) (catalogue *verify.Catalogue, faults []error) {
	if read == nil {
		read = readFile
	}
	var all []verify.Definition
	var places []string
	for _, file := range files {
		defs, err := readDefinitions(file, read)
		if err != nil {
			faults = append(faults, err)
		}
		for i, def := range defs {
			all = append(all, def)
			places = append(places, placeIn(file, i, len(defs)))
		}
	}
	if faults != nil {
		return nil, faults
	}
	catalogue, err := verify.NewCatalogue(all...)
	if wrong, ok := errors.AsType[*verify.DefinitionError](err); ok {
		for _, field := range wrong.Fields {
			faults = append(faults, fmt.Errorf("%s: %s %s", places[wrong.Index], field.Field, field.Detail))
		}
		return nil, faults
	}
	return catalogue, nil
}

// placeIn is how a user points at a definition.
func placeIn(file string, i, count int) string {
	name := filepath.Base(file)
	if count > 1 {
		name += fmt.Sprintf(": definition %d", i+1)
	}
	return name
}

// readDefinitions reads the definitions of one file.
func readDefinitions(file string, read func(name string) ([]byte, error)) ([]verify.Definition, error) {
	data, err := read(file)
	if err != nil {
		return nil, err // names the file
	}
	name := filepath.Base(file)
	if !json.Valid(data) {
		if data, err = yamlToJSON(data); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	texts := []json.RawMessage{data}
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("[")) {
		if err := json.Unmarshal(data, &texts); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	defs := make([]verify.Definition, len(texts))
	for i, text := range texts {
		if defs[i], err = verify.ParseDefinition(text); err != nil {
			return nil, fmt.Errorf("%s: %w", placeIn(file, i, len(texts)), err)
		}
	}
	return defs, nil
}

// yamlToJSON reads one YAML document of plain mappings, lists and values; see
// parseFile for what is refused and why.
func yamlToJSON(data []byte) ([]byte, error) {
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, errors.New("not YAML: " + firstLine(err))
	}
	if len(file.Docs) != 1 || file.Docs[0].Body == nil {
		return nil, errors.New("must be one document with one definition or a list of them")
	}
	value, err := plain(file.Docs[0].Body)
	if err != nil {
		return nil, err
	}
	return json.Marshal(value)
}

// plain is a node as encoding/json would have read it.
func plain(node ast.Node) (any, error) {
	switch node := node.(type) {
	case *ast.MappingNode:
		return plainMapping(node.Values)
	case *ast.MappingValueNode:
		return plainMapping([]*ast.MappingValueNode{node})
	case *ast.SequenceNode:
		list := make([]any, len(node.Values))
		for i, item := range node.Values {
			var err error
			if list[i], err = plain(item); err != nil {
				return nil, err
			}
		}
		return list, nil
	case *ast.NullNode:
		return nil, nil
	case *ast.StringNode:
		return node.Value, nil
	case *ast.LiteralNode:
		return node.Value.Value, nil
	case *ast.IntegerNode:
		return node.Value, nil
	case *ast.FloatNode:
		return node.Value, nil
	case *ast.BoolNode:
		return node.Value, nil
	}
	return nil, fmt.Errorf("line %d: write plain values; anchors, aliases and tags are not read", node.GetToken().Position.Line)
}

func plainMapping(pairs []*ast.MappingValueNode) (any, error) {
	members := make(map[string]any, len(pairs))
	for _, pair := range pairs {
		value, err := plain(pair.Value)
		if err != nil {
			return nil, err
		}
		members[pair.Key.GetToken().Value] = value // the parser refuses repeats
	}
	return members, nil
}
