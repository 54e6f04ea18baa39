// The worked questions of docs/sql.md, as examples for the SQL page.
import text from "../../docs/sql.md?raw";

export interface Question {
  title: string;
  sql: string;
}

const PATTERN = /^## \d+\. (.+)\n[\s\S]*?```sql\n([\s\S]*?)```/gm;

export const QUESTIONS: readonly Question[] = [...text.matchAll(PATTERN)].map(([, title = "", sql = ""]) => ({
  title,
  sql: sql.trimEnd(),
}));
