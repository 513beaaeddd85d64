"""Engines: anything that completes chats, behind the one protocol `hala.records.Engine`. Import the module you need.

`local` a transformers model in this process, `server` any OpenAI-compatible endpoint, `vllm` offline vLLM, `ctranslate`
translators that are no language models, `scripted` for tests and `--engine echo`.
"""
