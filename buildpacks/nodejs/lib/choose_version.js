// choose_version.js RANGE: reads a JSON list of versions on stdin and prints the one to use, or nothing when none is in
// the range. Of the versions in the range it is the newest of an even major, the ones with long-term support, else the
// newest; one version asked for by its number is that one.
'use strict';
const semver = require('semver');

const range = process.argv[2];
if (!semver.validRange(range)) process.exit(2);
const known = [JSON.parse(require('fs').readFileSync(0, 'utf8') || '[]')].flat();
const fitting = known.filter((version) => semver.satisfies(version, range)).sort(semver.rcompare);
console.log(fitting.find((version) => semver.major(version) % 2 === 0) || fitting[0] || '');
