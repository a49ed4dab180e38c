/**
 * Solves the example tasks: finds the known defect in the repository that it is given and mends it in place. It reads
 * what every agent gets, the prompt and the repository, and nothing else. A real agent would ask a model here.
 */
const fs = require("node:fs");
const path = require("node:path");

const repo = process.env.REPO_DIR || "/repo";
const prompt = fs.readFileSync(process.env.TASK_PROMPT || "/task/prompt.md", "utf8");

/** What is known of each repository: in which file which lines are wrong, and what they should be. */
const fixes = [
  {
    name: "shares add up to the amount",
    edits: [
      {
        file: "tallybook/money.py",
        wrong: `    """Split an amount into \`count\` shares."""
    if count < 1:
        raise ValueError("an amount can't be split among nobody")
    return [cents // count] * count
`,
        right: `    """Split an amount into \`count\` shares that add up to it; the first ones carry the odd cents."""
    if count < 1:
        raise ValueError("an amount can't be split among nobody")
    sign = -1 if cents < 0 else 1
    share, odd = divmod(abs(cents), count)
    return [sign * (share + 1)] * odd + [sign * share] * (count - odd)
`,
      },
    ],
  },
  {
    name: "reading counts as use, and replacing needs no room",
    edits: [
      {
        file: "src/cache.js",
        wrong: `    return entry.value;
  }
`,
        right: `    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return entry.value;
  }
`,
      },
      {
        file: "src/cache.js",
        wrong: `    if (this.#entries.size >= this.#capacity) this.#forgetOldest();
`,
        right: `    this.#entries.delete(key);
    if (this.#entries.size >= this.#capacity) this.#forgetOldest();
`,
      },
    ],
  },
  {
    name: "names with spaces stay whole",
    edits: [
      {
        file: "logtrim.sh",
        wrong: `for file in \${files[@]}; do
  rotate $file "$keep"
done
`,
        right: `for file in "\${files[@]}"; do
  rotate "$file" "$keep"
done
`,
      },
      {
        file: "lib/rotate.sh",
        wrong: `  if [ ! -f $file ]; then
`,
        right: `  if [ ! -f "$file" ]; then
`,
      },
      {
        file: "lib/rotate.sh",
        wrong: `  rm -f $file.$keep
  for ((number = keep - 1; number >= 1; number--)); do
    if [ -f $file.$number ]; then
      mv $file.$number $file.$((number + 1))
    fi
  done
  mv $file $file.1
  : > $file
`,
        right: `  rm -f -- "$file.$keep"
  for ((number = keep - 1; number >= 1; number--)); do
    if [ -f "$file.$number" ]; then
      mv -- "$file.$number" "$file.$((number + 1))"
    fi
  done
  mv -- "$file" "$file.1"
  : > "$file"
`,
      },
    ],
  },
  {
    name: "the second part of a wrapped read begins at the start",
    edits: [
      {
        file: "src/ring.c",
        wrong: `	memcpy(to + first, ring->bytes + ring->head, length - first);
`,
        right: `	memcpy(to + first, ring->bytes, length - first);
`,
      },
    ],
  },
];

function textOf(file) {
  try {
    return fs.readFileSync(path.join(repo, file), "utf8");
  } catch {
    return "";
  }
}

console.log(`solver: ${prompt.split("\n")[0]}`);
const fix = fixes.find(({ edits }) => edits.every(({ file, wrong }) => textOf(file).includes(wrong)));
if (fix === undefined) {
  console.error("solver: this repository holds no defect that I know");
  process.exit(1);
}
for (const { file, wrong, right } of fix.edits) {
  fs.writeFileSync(
    path.join(repo, file),
    textOf(file).replace(wrong, () => right),
  );
  console.log(`solver: changed ${file}`);
}
console.log(`solver: done, ${fix.name}`);
