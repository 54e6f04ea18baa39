// Continues a prompt, or transcribes a recording, greedily, with one of the Node.js bindings of llama.cpp and whisper.cpp.
//
// Usage: node.mjs PACKAGE_FOLDER NAME MODEL THREADS TOKENS PROMPT|RECORDING

import {existsSync, mkdirSync, writeFileSync} from "node:fs";
import {createRequire} from "node:module";
import path from "node:path";
import {setTimeout as sleep} from "node:timers/promises";

const [folder, name, model, threads, tokens, input] = process.argv.slice(2);
const require = createRequire(path.join(folder, "package.json"));
const n_threads = Number(threads), n_predict = Number(tokens);

// Lets whoever wants to attach do so now.
async function loaded() {
    const ready = process.env.COMPATIBILITY_READY;
    if (!ready)
        return;
    mkdirSync(ready);
    while (existsSync(ready))
        await sleep(10);
}

const programs = {
    async "@fugood/llama.node"() {
        const context = await require("@fugood/llama.node").loadModel({model, n_threads, n_ctx: 512, use_mmap: true});
        const {text} = await context.completion({prompt: input, n_threads, n_predict, temperature: 0, top_k: 1, seed: 1});
        await context.release();
        return text;
    },
    async "@fugood/whisper.node"() {
        const context = await require("@fugood/whisper.node").initWhisper({filePath: model, useGpu: false});
        const options = {language: "en", maxThreads: n_threads, temperature: 0, temperatureInc: 0, nProcessors: 1};
        const {result} = await context.transcribeFile(input, options).promise;
        await context.release();
        return result;
    },
    async "@llama-node/llama-cpp"() {
        const {LLama} = require("@llama-node/llama-cpp");
        const load = {nCtx: 512, nGpuLayers: 0, seed: 1, f16Kv: true, logitsAll: false, vocabOnly: false};
        const llama = await LLama.load({modelPath: model, ...load, useMlock: false, embedding: false, useMmap: true}, false);
        await loaded();
        const generate = {nThreads: n_threads, nTokPredict: n_predict, topK: 1, temp: 0, repeatPenalty: 1, prompt: input};
        return await new Promise((resolve, reject) => {
            let text = "";
            llama.inference(generate, ({type, data, message}) => {
                // It calls it an error when the tokens asked for are there.
                if (type === "Error" && !message.includes("Too many tokens predicted"))
                    reject(new Error(message));
                else if (type !== "Data" || data.completed)
                    resolve(text);
                else
                    text += data.token;
            });
        });
    },
    async gpt4all() {
        const {loadModel} = require("gpt4all");
        const models = path.join(folder, "models.json"); // it downloads a list of models unless there is one
        writeFileSync(models, "[]");
        const where = {modelPath: path.dirname(model), modelConfigFile: models, allowDownload: false};
        const llm = await loadModel(path.basename(model), {...where, device: "cpu", nCtx: 512});
        llm.llm.setThreadCount(n_threads);
        const {text} = await llm.generate(input, {nPredict: n_predict, temperature: 0, topK: 1, repeatPenalty: 1});
        llm.dispose();
        return text;
    }
};

console.log(JSON.stringify(await programs[name]()));
process.exit(0);
