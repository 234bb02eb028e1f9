/** Checks the pages' GraphQL documents against the schema, and generates typed values from them. */

import type { CodegenConfig } from "@graphql-codegen/cli";

const config: CodegenConfig = {
  schema: "../schema/schema.graphql",
  documents: "app/**/*.graphql",
  generates: {
    "app/__generated__/possible-types.ts": {
      plugins: ["fragment-matcher"],
      config: { useExplicitTyping: true },
    },
    "app/__generated__/graphql.ts": {
      plugins: ["typescript-operations", "typed-document-node"],
      config: {
        enumType: "string-literal",
        useTypeImports: true,
        strictScalars: true,
        scalars: { ID: "string", DateTime: "string", Duration: "string", JSON: "unknown" },
      },
    },
  },
};

export default config;
