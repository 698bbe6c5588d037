// SPDX-License-Identifier: GPL-2.0-only
// What node.exe has to do, see node.py: much memory, short-lived, in all the
// ways that V8 gets some. Writes what came out to the file it is given.
"use strict";
const fs = require("fs");
const answer = {};

// The young generation: trees that die at once.
function tree(depth) {
	return depth ? { left: tree(depth - 1), right: tree(depth - 1) } : { left: null, right: null };
}
function count(node) {
	return 1 + (node.left ? count(node.left) + count(node.right) : 0);
}
answer.nodes = 0;
for (let i = 0; i < 12; i++)
	answer.nodes += count(tree(13));

// Memory outside of the heap, of 2 MiB at a time.
answer.arrays = 0;
for (let k = 1; k <= 40; k++) {
	const array = new Float64Array(1 << 18);
	for (let i = 0; i < array.length; i++)
		array[i] = i * k;
	let sum = 0;
	for (let i = 0; i < array.length; i++)
		sum += array[i];
	answer.arrays += sum;
}

const composite = new Uint8Array(1000000);
answer.primes = 0;
for (let i = 2; i < composite.length; i++) {
	if (composite[i])
		continue;
	answer.primes++;
	for (let j = i * 2; j < composite.length; j += i)
		composite[j] = 1;
}

// The old generation, and large objects.
const map = new Map();
for (let i = 0; i < 50000; i++)
	map.set("key " + i, { i, text: "value of " + i });
answer.strings = 0;
for (const key of map.keys())
	answer.strings += key.length;

const rows = [];
for (let i = 0; i < 20000; i++)
	rows.push({ i, name: "row " + i });
answer.json = JSON.parse(JSON.stringify(rows)).reduce((sum, row) => sum + row.i, 0);

// Functions that are compiled while it runs.
let product = 1n;
for (let i = 1; i <= 400; i++)
	product *= new Function(`return ${i}n`)();
answer.factorial = String(product % (2n ** 61n - 1n));

fs.writeFileSync(process.argv[2], JSON.stringify(answer));
