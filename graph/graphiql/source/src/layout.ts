// Where the layout changes: below this width one thing is seen at a time (style.css says the same).
const NARROW = "(max-width: 760px)";

export function isNarrow(): boolean {
  return window.matchMedia(NARROW).matches;
}
