// choose_version.js RANGE [PREFERRED]: reads a JSON list of versions on stdin and prints the one to use, or nothing when none is in
// the range. Of the versions in the range it is the newest that is in PREFERRED, too; else the newest of an even major,
// which are those of Node.js with long-term support; else the newest.
'use strict';
const semver = require('semver');

const range = process.argv[2];
if (!semver.validRange(range)) process.exit(2);
const known = [JSON.parse(require('fs').readFileSync(0, 'utf8') || '[]')].flat();
const fitting = known.filter((version) => semver.satisfies(version, range)).sort(semver.rcompare);
const preferred = process.argv[3] ? fitting.find((version) => semver.satisfies(version, process.argv[3])) : undefined;
console.log(preferred || fitting.find((version) => semver.major(version) % 2 === 0) || fitting[0] || '');
