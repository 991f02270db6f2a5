/**
 * What a head is deflated against when a connection has none before it. Part of format 1 of the wire: never changed, only
 * followed by another format. Written in the order in which `sync.ts` writes the fields.
 */
export const STARTER_UP =
  '"failure":{"reason":"","message":""},"objects":[{"ref":{"group":"apps","kind":"Deployment","namespace":"default","name":""},' +
  '"sync":"Drifted","health":"Degraded","reason":"","message":""}],"waiting":{"reason":"Dependency","detail":"","nextAtMs":1' +
  '"sync":"Waiting","health":"Progressing","sync":"Failed","health":"Unknown","facts":{"nodes":[{"name":"","allocatable":' +
  '"outbox":[{"class":"result","seq":1,"atMs":1,"body":{}}],"conditions":[{"type":"Manifest","reason":"","message":"","sinceMs":1' +
  '"goneWorkloads":[],"factsDigest":"sha256:,"dropped":{},"want":["sha256:' +
  '{"v":1,"site":"0","siteId":"","agent":"0.1.0","storeEpoch":"","boot":"","have":{"generation":{"epoch":1,"counter":1},' +
  '"root":"sha256:","body":"sha256:"},"observations":[{"workload":"","since":{"epoch":1,"counter":1},"desired":{"digest":"",' +
  '"atMs":179},"received":{"digest":"","atMs":179},"staged":{"digest":"","atMs":179},"applied":{"digest":"","atMs":179},' +
  '"healthy":{"digest":"","atMs":179},"healthy":null,"sync":"Synced","health":"Healthy","healthyForMs":0,"unhealthyMs":0,' +
  '"transitions":0,"begun":true,"objects":[],"counts":{"objects":1,"ready":1,"drifted":0,"pruned":0}}],"trust":1,' +
  '{"v":1,"site":"","siteId":"","agent":"0.1.0","have":null,"observations":[],"outbox":[],"conditions":[],"trust":1,' +
  '"seq":1,"clockMs":179'

export const STARTER_DOWN =
  '"asks":[{"trust":{"version":1},"blobs":[{"digest":"","domain":"object","encoding":"identity"},{"digest":"","domain":"release",' +
  '"base":"","encoding":"zstd"},{"digest":"","domain":"object","base":"","encoding":"zstd"}],"manifest":{"payloadType":' +
  '"application/vnd.flotilla.manifest.v1+json","base":"","result":"","keyids":[""],"encoding":"zstd"},' +
  '{"v":1,"ack":1,"ackOutbox":0,"nextDueMs":60000,"blobs":[],"time":{"timeMs":179,"timeEpoch":1,"keyid":"'
