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
# What glibc keeps of freed buffers otherwise: 100 KB for each of a hub's connections, half of what the hub takes at 10,000 sites.
ENV MALLOC_ARENA_MAX=2 MALLOC_MMAP_THRESHOLD_=32768 MALLOC_TRIM_THRESHOLD_=65536
VOLUME /data
ENTRYPOINT ["node", "/app/dist/flotilla.js"]
CMD ["--help"]
