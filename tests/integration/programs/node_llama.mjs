// Continues a prompt with node-llama-cpp, greedily; says how long the tokens after the first took to come. llama.cpp's
// own timings go to stderr.
//
// Usage: node_llama.mjs NODE_LLAMA_CPP_FOLDER MODEL.gguf THREADS TOKENS PROMPT

import path from "node:path";
import {pathToFileURL} from "node:url";

const [packageFolder, modelPath, threads, count, prompt] = process.argv.slice(2);
const {getLlama} = await import(pathToFileURL(path.join(packageFolder, "dist", "index.js")).href);
const llama = await getLlama({
    gpu: false,
    build: "never",
    progressLogs: false,
    logLevel: "info",
    logger: (level, message) => process.stderr.write(message + "\n")
});
const model = await llama.loadModel({modelPath});
const context = await model.createContext({contextSize: 512, threads: Number(threads), performanceTracking: true});
const tokens = [];
let first, last;
for await (const token of context.getSequence().evaluate(model.tokenize(prompt), {temperature: 0, yieldEogToken: true})) {
    last = performance.now();
    first ??= last;
    tokens.push(token);
    if (tokens.length === Number(count))
        break;
}
await context.printTimings();
const text = model.detokenize(tokens);
console.log(JSON.stringify({text, tokens: tokens.length - 1, seconds: (last - first) / 1e3}));
