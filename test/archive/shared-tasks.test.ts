/** What each of the shared tasks parses to: a committed table, checked against both archive formats. */
import { cpSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { packArchive } from "../../src/archive/pack.ts";
import { scratchFolder } from "./support.ts";

const shared = resolve(import.meta.dirname, "../../../shared/tasks");
const scratch = scratchFolder();

/** id · language · judged by · judges · install commands · tool versions · base commit · places of the test files */
const expected = `
CrackinLLC/Photo-Export-Fixer-15 · python · tests · fail_to_pass_1 pass_to_pass_1 · 1 install · python=3.11 · 72a6e74864b931f4dcc1649241c43e7377eb12c0 · pef/tests/test_dry_run_cancellation.py
CrackinLLC/Photo-Export-Fixer-30 · python · tests · fail_to_pass_1 pass_to_pass_1 · 1 install · python=3.11 · 0e53ece6cc38b13561c0381c968b0601ce0ce0d2 · pef/tests/test_gui_pr_updates.py
Garrett-s-Apps/nexus-31 · python · tests · fail_to_pass_1 pass_to_pass_1 · 1 install · python=3.11 · 4dd1980931cfa1b440cc707170f60923bb296d09 · tests/test_timeout_behavior.py
IBM/JTOpen-310 · java · tests · fail_to_pass_1 fail_to_pass_2 fail_to_pass_3 pass_to_pass_1 · 1 install · - · 8fdba5d9f709251ae2d9bb5d102175b1ca396777 · src/test/java/VirtualThreadFallbackTest.java src/test/java/VirtualThreadsDataSourceTest.java src/test/java/VirtualThreadsManagedDataSourceTest.java src/test/java/VirtualThreadsTest.java
Integrated-Disease-Monitoring-Kenya/dmi-etl-7 · python · tests · fail_to_pass_1 pass_to_pass_1 · 1 install · python=3.11 · e1594ce0a9267616c8c6847f3ed826b87d960fef · tests/test_readme_steps.py
amplify-education/python-hcl2-255 · python · tests · fail_to_pass_1 pass_to_pass_1 · 1 install · python=3.11 · a8e5ac0706e20716f800c3e31aedde468f572c7f · test/unit/test_object_keys.py
bfansports/aws-api-lambda-boilerplate-2 · python · tests · fail_to_pass_1 pass_to_pass_1 · 1 install · python=3.11 · dbe53a974f230bc6358e930edd7f76fdfdc865fd · tests/test_claude_doc.py
bgpkit/monocle-113 · rust · tests · fail_to_pass_1 pass_to_pass_1 · 1 install · - · 92f1e47af3d2efafc8016db52057f5ec92285120 · tests/xdg_paths.rs
block/cachew-131 · go · tests · fail_to_pass_1 pass_to_pass_1 · 1 install · go=1.22 · a0d8f36ca5e1d7a86c6114ade7b964ad1c1ab0c7 · internal/gitclone/manager_maintenance_test.go
eclipse-hawkbit/hawkbit-2923 · java · tests · fail_to_pass_1 pass_to_pass_1 · 1 install · - · 520b887b7097e90fae4236152cae5c8cfbfe33dc · hawkbit-mcp/src/test/java/org/eclipse/hawkbit/mcp/server/McpAutoConfigurationTest.java hawkbit-mcp/src/test/python/test_mcp_server_start_annotations.py hawkbit-mcp/src/test/sh/test_mcp_server_start_annotations.sh
iBUHub/AIStudioToAPI-77 · javascript · tests · fail_to_pass_1 fail_to_pass_2 fail_to_pass_3 pass_to_pass_1 · 1 install · - · 2180a096bd0bd6da21f2b7899c26b0b69fc72c2a · tests/build_script_ws_port_fixed.test.js tests/ws_port_fixed.test.js tests/ws_port_ws_server_fixed.test.js
micro/mu-109 · go · tests · fail_to_pass_1 pass_to_pass_1 · 1 install · go=1.22 · 1bde32d2def9a38d85ae0370e44e114f17a19ffe · places/places_test.go
mirumee/ariadne-1283 · python · tests · fail_to_pass_1 pass_to_pass_1 pass_to_pass_2 · 1 install · python=3.11 · d751d3687bb6c9f6eb45058c288cb391bedffac5 · tests/test_removed_deprecated_features.py
n8n-io/n8n-25934 · typescript · tests · fail_to_pass_1 pass_to_pass_1 · 1 install · - · 2cfecd2a8b375c6866523557d875feb062720bc1 · packages/@n8n/workflow-sdk/src/expression-public-surface.test.ts
noi-techpark/opendatahub-gtfs-api-3 · javascript · tests · fail_to_pass_1 pass_to_pass_1 · 1 install · - · c68a47a9024eb00e2282f5b86d90886b4bc013c6 · tests/issue_templates.test.mjs
sqlfluff/sqlfluff-7522 · python · tests · fail_to_pass_1 pass_to_pass_1 · 1 install · python=3.11 · d2c2ba99a534d522ec87c33d29b3e2fd3f9e0684 · test/dialects/databricks_materialized_view_test.py
swiss-knife-xyz/swiss-knife-151 · typescript · tests · fail_to_pass_1 pass_to_pass_1 · 1 install · - · 51793c652c1b1e6f5d7bfc0586feab84febf65c8 · tests/megaeth-explorer.test.ts`.trim();

if (!existsSync(shared))
  console.log('skipped: "shared tasks parse as the table says": ../shared/tasks is not on this machine');

test.skipIf(!existsSync(shared)).each(["zip", "tar.gz"] as const)(
  "shared tasks parse as the table says: %s",
  async (format) => {
    const folder = scratch.path(`shared-${format}`);
    mkdirSync(join(folder, "agent_code"), { recursive: true });
    writeFileSync(join(folder, "agent_code/agent.py"), "print(1)\n");
    cpSync(shared, join(folder, "tasks"), { recursive: true });
    const { submission } = await packArchive(folder, scratch.path(`shared.${format}`), { format });
    const rows = submission.tasks.map((task) =>
      [
        task.taskId,
        task.language,
        task.judgedBy,
        task.judges.map((judge) => judge.name).join(" "),
        `${task.install.length} install`,
        Object.entries(task.toolVersions)
          .map(([tool, version]) => `${tool}=${version}`)
          .join(" ") || "-",
        task.baseCommit,
        task.testFiles.map((file) => file.path).join(" "),
      ].join(" · "),
    );
    expect(rows.join("\n")).toBe(expected);
    for (const task of submission.tasks) {
      expect(task.repoUrl).toBe(`https://github.com/${task.repo}.git`);
      expect(task.prompt).not.toBe("");
      expect(task.referencePatch).toMatch(/^diff --git /);
      expect(task.difficulty).toMatch(/^(easy|medium|hard)$/);
      expect(task.testFiles.every((file) => file.encoding === "utf8")).toBe(true);
    }
  },
);
