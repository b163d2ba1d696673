// Makes merkle.json: tree hashes as the npm package hypercore-crypto computes them.
//
//   npm install hypercore-crypto        (in a directory outside the repository)
//   NODE_PATH=<that directory>/node_modules node design/vectors/make_merkle.mjs > design/vectors/merkle.json

import { createRequire } from 'node:module'

const require = createRequire((process.env.NODE_PATH ?? process.cwd()) + '/')
const crypto = require('hypercore-crypto')

const hex = (buffer) => buffer.toString('hex')

// Byte i of the data is (seed + 31 i) mod 251, so that the test can make it too.
const data = (seed, length) => Buffer.from(Array.from({ length }, (_, i) => (seed + 31 * i) % 251))
const leafNode = (n, bytes) => ({ index: 2 * n, size: bytes.length, hash: crypto.data(bytes) })
const parentNode = (a, b) => ({ index: (a.index + b.index) / 2, size: a.size + b.size, hash: crypto.parent(a, b) })
const plain = (node) => ({ index: node.index, size: node.size, hash: hex(node.hash) })
const height = (index) => Math.log2((index & ~(index + 1)) + 1 || 1) // trailing ones

const lengths = [0, 1, 2, 31, 32, 64, 100, 118, 119, 120, 127, 128, 129, 247, 1000, 1024, 4096, 65536, 100003]
const leaves = lengths.map((length) => ({ seed: length % 7, length, hash: hex(crypto.data(data(length % 7, length))) }))

const parents = [[0, 2], [5, 1000], [128, 129], [4096, 0]].map(([a, b]) => {
  const left = leafNode(0, data(a % 7, a))
  const right = leafNode(1, data(b % 7, b))
  return { left: plain(left), right: plain(right), parent: plain(parentNode(left, right)) }
})

const trees = []
const roots = []
for (let n = 0; n < 33; n++) {
  roots.push(leafNode(n, data(n, 10 + 7 * n)))
  while (roots.length > 1 && height(roots.at(-1).index) === height(roots.at(-2).index)) {
    const right = roots.pop()
    roots.push(parentNode(roots.pop(), right))
  }
  trees.push({ length: n + 1, roots: roots.map(plain), root_hash: hex(crypto.tree(roots)) })
}

const source = 'hypercore-crypto ' + require('hypercore-crypto/package.json').version
console.log(JSON.stringify({ source, leaves, parents, trees }, null, 1))
