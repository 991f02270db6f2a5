# Hub and agent in one image: `flotilla hub …`, `flotilla agent …`.
# BASE has Node 26; any such image will do. Build first: npm ci && npm run build.
ARG BASE=node:26-slim
FROM ${BASE}
WORKDIR /app
COPY package.json ./
COPY dist/ ./dist/
COPY schemas/ ./schemas/
# Never root, and nothing below / is written: the store is a volume at /data.
USER 65532:65532
ENV NODE_ENV=production
# A heap that stays below the memory of a small pod; `agent manifests` sets a smaller one of its own.
ENV NODE_OPTIONS=--max-old-space-size=512
VOLUME /data
ENTRYPOINT ["node", "/app/dist/flotilla.js"]
CMD ["--help"]
