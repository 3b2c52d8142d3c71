// Lets Node run TypeScript sources: node --conditions=@cluster/source --import ./scripts/ts-register.mjs file.ts
import 'tsx';
