// A conversation of three steps as the definition that the server takes. A real app would draw it.

export type Script = { greeting: string; question: string; farewell: string };

type Node = { id: string; type: string; data: { name: string; prompt: string } };

export const EXAMPLE: Script = {
  greeting: "Say hello, and who is calling.",
  question: "Ask whether the appointment on Tuesday still suits.",
  farewell: "Thank them, and say goodbye.",
};

/** Where the server points to when it finds a text wrong: by the ids of the nodes below. */
export const PATHS: Record<keyof Script, string> = {
  greeting: "definition.nodes.start.prompt",
  question: "definition.nodes.ask.prompt",
  farewell: "definition.nodes.end.prompt",
};

export function definitionOf({ greeting, question, farewell }: Script) {
  return {
    nodes: [
      { id: "start", type: "startCall", position: { x: 0, y: 0 }, data: { name: "Greet", prompt: greeting } },
      { id: "ask", type: "agentNode", position: { x: 0, y: 160 }, data: { name: "Ask", prompt: question } },
      { id: "end", type: "endCall", position: { x: 0, y: 320 }, data: { name: "End", prompt: farewell } },
    ],
    edges: [
      { id: "listens", source: "start", target: "ask", label: "They listen", condition: "They have time to talk." },
      { id: "answered", source: "ask", target: "end", label: "They answered", condition: "The question is answered." },
    ],
  };
}

/** The steps of a definition, for people to read. */
export function stepsOf(definition: unknown): Node["data"][] {
  return (definition as { nodes: Node[] }).nodes.map(({ data }) => data);
}
