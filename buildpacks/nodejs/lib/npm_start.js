// npm_start.js BUILD_DIR SCRIPT MANAGER MANAGER_VERSION NPM_VERSION NODE_VERSION: prints a program that runs a script of package.json
// as `npm start` does (its pre and post scripts too, and what npm sets for them), without npm: the script itself gets the
// signals, and no package manager stays in memory. What npm sets: https://docs.npmjs.com/cli/using-npm/scripts#environment,
// and @npmcli/run-script and @npmcli/config, which write it.
'use strict';
const fs = require('fs');
const path = require('path');

const [dir, name, manager, managerVersion, npmVersion, nodeVersion] = process.argv.slice(2);
const read = (file) => {
  try {
    return fs.readFileSync(path.join(dir, file), 'utf8').replace(/^\uFEFF/, '');
  } catch {
    return '';
  }
};
const manifest = JSON.parse(read('package.json'));
const scripts = manifest.scripts || {};
const quoted = (text) => `'${text.replace(/'/g, `'\\''`)}'`;

const variables = new Map();
const add = (prefix, value) => {
  if (value === undefined) return;
  if (typeof value === 'object' && value !== null) {
    for (const [key, each] of Object.entries(value)) add(`${prefix}_${key}`, each);
  } else {
    variables.set(prefix.replace(/[=\0]/g, '_'), value === null || value === false ? '' : String(value));
  }
};
const own = ['name', 'version', 'config', 'engines', 'bin'];
// Yarn 1 goes on to set them all, as npm did before its version 7.
for (const key of manager === 'yarn' ? Object.keys(manifest) : own) {
  const value = key === 'bin' && typeof manifest.bin === 'string' ? { [path.basename(manifest.name || '')]: manifest.bin } : manifest[key];
  add(`npm_package_${key}`, value);
}

const lib = '/app/.heroku/node/lib';
const execpath = { npm: `${lib}/npm/bin/npm-cli.js`, yarn: `${lib}/yarn/bin/yarn.js`, pnpm: `${lib}/pnpm/bin/pnpm.cjs` }[manager];
const agent = manager === 'npm' ? `npm/${managerVersion}` : `${manager}/${managerVersion} npm/?`;
const npm = {
  npm_package_json: '/app/package.json',
  npm_execpath: execpath,
  npm_command: name === 'start' ? 'start' : 'run-script',
  INIT_CWD: '/app',
};
for (const [key, value] of Object.entries(npm)) variables.set(key, value);

// A config var goes before what npm would set.
const defaults = new Map(Object.entries({
  npm_config_user_agent: `${agent} node/v${nodeVersion} linux ${process.arch}${manager === 'npm' ? ' workspaces/false' : ''}`,
  npm_config_npm_version: npmVersion,
  npm_config_local_prefix: '/app',
  npm_config_userconfig: '/app/.npmrc',
  npm_config_cache: '/app/.npm',
  npm_config_init_module: '/app/.npm-init.js',
  npm_config_node_gyp: `${lib}/npm/node_modules/node-gyp/bin/node-gyp.js`,
  npm_config_noproxy: '',
  EDITOR: 'vi',
  COLOR: '0',
}));
const lists = {};
for (const line of read('.npmrc').split(/\r?\n/)) {
  const found = /^\s*([A-Za-z][\w.-]*)(\[\])?\s*(?:=\s*(.*?))?\s*$/.exec(line);
  // What names a variable of the environment is known to npm alone, and may be a secret.
  if (!found || (found[3] || '').includes('${')) continue;
  const value = (found[3] === undefined ? 'true' : found[3]).replace(/^(["'])(.*)\1$/, '$2');
  const key = `npm_config_${found[1].replace(/-/g, '_').toLowerCase()}`;
  if (found[2]) lists[key] = [...(lists[key] || []), value];
  defaults.set(key, found[2] ? lists[key].join('\n\n') : value === 'false' ? '' : value);
}

const steps = [`pre${name}`, name, `post${name}`].map((event) => {
  const script = event === 'start' && !scripts.start ? 'node server.js' : scripts[event];
  return typeof script === 'string' && script.trim() ? { event, script } : undefined;
});
// Not by sh: Debian's would stay between the signals and what a script runs.
const command = ({ event, script }) =>
  `env "\${variables[@]}" npm_lifecycle_event=${event} npm_lifecycle_script=${quoted(script)} bash -c ${quoted(script)}`;
const lines = [
  '#!/bin/bash',
  `# Does what \`npm ${name === 'start' ? '' : 'run '}${name}\` does, by itself.`,
  'cd /app || exit',
  'node=$(type -P node)',
  'variables=("NODE=$node" "npm_node_execpath=$node")',
  'prefix=${node%/bin/node}',
  '[ -n "${npm_config_prefix+set}" ] || variables+=("npm_config_prefix=$prefix")',
  'variables+=("npm_config_global_prefix=$prefix")',
  ...[...variables].map(([key, value]) => `variables+=(${quoted(`${key}=${value}`)})`),
  ...[...defaults].map(([key, value]) => `[ -n "\${${key.replace(/\W/g, '_')}+set}" ] || variables+=(${quoted(`${key}=${value}`)})`),
];
const [before, main, after] = steps;
if (before) lines.push(`${command(before)} || exit`);
if (!after) {
  lines.push(`exec ${command(main)}`);
} else {
  lines.push(
    `${command(main)} &`,
    'child=$!',
    `trap 'kill -TERM "$child" 2>/dev/null' TERM INT`,
    'status=0',
    '# A trapped signal ends `wait` early; the script has ended when there is nothing left to wait for.',
    'wait "$child" || status=$?',
    'while kill -0 "$child" 2>/dev/null; do status=0; wait "$child" || status=$?; done',
    '[ "$status" -eq 0 ] || exit "$status"',
    `exec ${command(after)}`,
  );
}
console.log(lines.join('\n'));
