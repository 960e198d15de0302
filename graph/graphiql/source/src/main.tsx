// The playground: GraphiQL with our transport, examples, guide and in-memory session.
import "./workers";
import "graphiql/style.css";
import "./style.css";

import { HISTORY_PLUGIN } from "@graphiql/plugin-history";
import { GraphiQL } from "graphiql";
import { createRoot } from "react-dom/client";

import { Account } from "./account";
import { examplesOf } from "./examples";
import { guide } from "./guide";
import { isNarrow } from "./layout";
import { storage } from "./storage";
import { fetcher, loadedSeed } from "./transport";

const { examples, areOfPhotos } = examplesOf(await loadedSeed());
const plugins = [guide, HISTORY_PLUGIN];

// The variables' editor takes a scalar it does not know for a word or a figure.
const customScalarSchemas = {
  JSON: { type: ["object", "array", "string", "number", "boolean", "null"] },
  DateTime: { type: "string" },
  Cursor: { type: "string" },
};

createRoot(document.getElementById("root")!).render(
  <GraphiQL
    fetcher={fetcher}
    storage={storage}
    shouldPersistHeaders={false}
    defaultTabs={examples}
    // GraphiQL takes the first tab's query from its defaults, but not its variables.
    initialVariables={examples[0].variables}
    defaultEditorToolsVisibility="variables"
    plugins={plugins}
    // The guide is about photos.
    visiblePlugin={isNarrow() || !areOfPhotos ? undefined : guide}
    customScalarSchemas={customScalarSchemas}
  >
    <GraphiQL.Logo>{null}</GraphiQL.Logo>
    <GraphiQL.Footer>
      <Account />
    </GraphiQL.Footer>
  </GraphiQL>,
);
