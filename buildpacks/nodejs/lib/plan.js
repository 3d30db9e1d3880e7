// plan.js BUILD_DIR: reads package.json and the lock files; prints what bin/compile needs to know as shell assignments,
// or what is wrong, one line each after "!", with status 1.
'use strict';
const fs = require('fs');
const path = require('path');

const dir = process.argv[2];
const has = (name) => fs.existsSync(path.join(dir, name));
const read = (name) => fs.readFileSync(path.join(dir, name), 'utf8');
const fail = (...lines) => {
  for (const line of lines) console.log(`!${line}`);
  process.exit(1);
};
const text = (value) => (typeof value === 'string' ? value.trim() : '');

let manifest;
try {
  manifest = JSON.parse(read('package.json').replace(/^\uFEFF/, ''));
} catch (error) {
  fail(`package.json is no valid JSON: ${error.message}`, 'Correct it, commit and push again.');
}
if (typeof manifest !== 'object' || manifest === null || Array.isArray(manifest)) {
  fail('package.json must be an object, for example {"name": "app", "scripts": {"start": "node server.js"}}.');
}
const scripts = manifest.scripts || {};
const engines = manifest.engines || {};

const LOCKS = { 'npm-shrinkwrap.json': 'npm', 'package-lock.json': 'npm', 'yarn.lock': 'yarn', 'pnpm-lock.yaml': 'pnpm' };
const locks = Object.keys(LOCKS).filter(has);
if (new Set(locks.map((lock) => LOCKS[lock])).size > 1) {
  fail(`There are lock files of different package managers: ${locks.join(', ')}.`,
    `They may disagree. Keep the one you use and take out the others, for example: git rm ${locks[0]}`);
}
const wanted = /^(npm|yarn|pnpm)@([0-9][0-9A-Za-z.-]*)/.exec(text(manifest.packageManager));
const manager = locks.length ? LOCKS[locks[0]] : wanted ? wanted[1] : engines.pnpm ? 'pnpm' : engines.yarn ? 'yarn' : 'npm';
if (locks.length && wanted && wanted[1] !== manager) {
  fail(`package.json names ${wanted[0]} as packageManager, but the lock file is ${locks[0]}.`,
    `Make the lock file anew with ${wanted[1]}, or take packageManager out.`);
}

// The package manager's version: the one that is asked for, else the one that the lock file was written by.
let version = wanted ? wanted[2] : text(engines[manager]);
let berry = false;
if (manager === 'yarn') {
  berry = locks.length > 0 && /^__metadata:/m.test(read('yarn.lock'));
  if (version && /^\D*[2-9]/.test(version)) berry = true;
}
// Which npm is the Node.js' business.
let preferred = { npm: '', pnpm: '9', yarn: berry ? '4' : '1' }[manager];
if (manager === 'pnpm' && locks.length) {
  const format = (/^lockfileVersion:\s*'?([0-9.]+)/m.exec(read('pnpm-lock.yaml')) || [])[1] || '9.0';
  preferred = { 5: '7', 6: '8' }[format.split('.')[0]] || '9';
}
if (!version) version = preferred;

// Scripts that run at installation may read any file of the tree, and so may dependencies that are folders: then the
// lock file alone does not decide what gets installed.
const hooks = ['preinstall', 'install', 'postinstall', 'prepare', 'preprepare', 'postprepare'].filter((name) => scripts[name]);
const sections = ['dependencies', 'devDependencies', 'optionalDependencies'].map((name) => manifest[name] || {});
const isLocal = (spec) => /^(file:|link:|portal:|workspace:|\.|\/|~\/)/.test(String(spec));
const local = sections.some((section) => Object.values(section).some(isLocal)) || Boolean(manifest.workspaces)
  || has('pnpm-workspace.yaml');
const count = sections.reduce((sum, section) => sum + Object.keys(section).length, 0);

const answers = {
  node_range: text(engines.node),
  manager,
  manager_version: version,
  manager_preferred: preferred,
  berry: berry ? 'yes' : '',
  lock: locks[0] || '',
  fixed: locks.length && !hooks.length && !local ? 'yes' : '',
  has_dependencies: count || manifest.workspaces || has('pnpm-workspace.yaml') ? 'yes' : '',
  has_dev_dependencies: Object.keys(manifest.devDependencies || {}).length || manifest.workspaces || has('pnpm-workspace.yaml') ? 'yes' : '',
  only_dev: !manifest.workspaces && !has('pnpm-workspace.yaml') && [0, 2].every((index) => !Object.keys(sections[index]).length) ? 'yes' : '',
  build_script: scripts['heroku-postbuild'] ? 'heroku-postbuild' : scripts.build ? 'build' : '',
  has_prebuild: scripts['heroku-prebuild'] ? 'yes' : '',
  has_cleanup: scripts['heroku-cleanup'] ? 'yes' : '',
};
for (const [name, value] of Object.entries(answers)) console.log(`${name}='${value.replace(/'/g, `'\\''`)}'`);
