// Holds an OpenAPI document on standard input to the specification, as Redocly
// reads it, and prints what is wrong.
import { createConfig, lintFromString } from "@redocly/openapi-core";
import { text } from "node:stream/consumers";

const problems = await lintFromString({
  source: await text(process.stdin),
  absoluteRef: "/openapi.json",
  config: await createConfig({
    rules: {
      "spec": "error",
      "no-unresolved-refs": "error",
      "no-invalid-schema-examples": "error",
      "no-invalid-media-type-examples": "error",
      "no-invalid-parameter-examples": "error",
      "no-enum-type-mismatch": "error",
      "no-ambiguous-paths": "error",
      "no-identical-paths": "error",
      "operation-operationId-unique": "error",
      "operation-parameters-unique": "error",
      "path-parameters-defined": "error",
      "security-defined": "error",
    },
  }),
});
for (const problem of problems) {
  console.log(problem.ruleId, problem.message, problem.location[0]?.pointer);
}
