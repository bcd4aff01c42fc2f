// An authorization server made of oidc-provider, with tokens of a few seconds; everything is in memory.
//   --library FILE     oidc-provider's entry point: it is installed elsewhere, so its name alone finds nothing
//   --port N           on 127.0.0.1        --lifetime SECONDS   of access tokens
//   --key PEM          signs the tokens    --client-key PEM     of the client that authenticates by private_key_jwt
//   --origin URL       optional: people sign in to an app there, with the provider's own login and consent pages
import { createPrivateKey, createPublicKey, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

const names = ['library', 'port', 'lifetime', 'key', 'client-key', 'origin'];
const { values: given } = parseArgs({ options: Object.fromEntries(names.map((name) => [name, { type: 'string' }])) });
const { Provider, errors } = await import(pathToFileURL(given.library));

const PASSWORD = 'password';
const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const DEFAULT_RESOURCE = 'urn:api:default';
const lifetime = Number(given.lifetime);
const key = createPrivateKey(readFileSync(given.key));
const clientKey = createPublicKey(readFileSync(given['client-key']));
const jwk = (of, kid) => ({ ...of.export({ format: 'jwk' }), kid, use: 'sig', alg: 'RS256' });

const client = {
  redirect_uris: [], response_types: [], grant_types: ['client_credentials', PASSWORD, EXCHANGE], scope: 'read write',
};
const clients = [
  { client_id: 'svc-post', client_secret: 'postsecret', token_endpoint_auth_method: 'client_secret_post' },
  // Read wrongly by every client that does not form-encode it before base64 (RFC 6749 section 2.3.1).
  { client_id: 'svc-basic', client_secret: 's3cr3t:with/odd%chars', token_endpoint_auth_method: 'client_secret_basic' },
  { client_id: 'svc-key', token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [jwk(clientKey, 'client')] } },
].map((one) => ({ ...client, ...one }));
const app = {
  redirect_uris: [`${given.origin}/.auth/callback`], post_logout_redirect_uris: [`${given.origin}/read/user`],
  response_types: ['code'], grant_types: ['authorization_code', 'refresh_token'], scope: 'openid read write',
};
if (given.origin) {
  clients.push({ ...app, client_id: 'web', client_secret: 'webs3cret', token_endpoint_auth_method: 'client_secret_post' });
  clients.push({ ...app, client_id: 'spa', token_endpoint_auth_method: 'none' });
}
const users = { robot: 'wonderland' };

function resourceServer(resource) {
  if (!resource.startsWith('urn:api:')) throw new errors.InvalidTarget();
  const opaque = resource === 'urn:api:opaque';
  return {
    scope: 'read write', audience: resource, accessTokenTTL: lifetime,
    ...(opaque ? { accessTokenFormat: 'opaque' } : { accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } } }),
  };
}

const provider = new Provider(`http://127.0.0.1:${given.port}`, {
  clients,
  jwks: { keys: [jwk(key, 'signing')] },
  scopes: ['openid', 'read', 'write'],
  clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none'],
  findAccount: async (_ctx, id) => ({ accountId: id, claims: async () => ({ sub: id }) }),
  features: {
    devInteractions: { enabled: Boolean(given.origin) },
    clientCredentials: { enabled: true },
    introspection: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => DEFAULT_RESOURCE,
      getResourceServerInfo: (_ctx, resource) => resourceServer(resource),
      useGrantedResource: () => true, // also when `openid` is asked for beside the API's scopes
    },
  },
  issueRefreshToken: (_ctx, asking) => asking.grantTypeAllowed('refresh_token'),
  rotateRefreshToken: () => true, // an old one used again takes the whole sign-in back
  ttl: {
    AccessToken: lifetime, ClientCredentials: lifetime, AuthorizationCode: 60, IdToken: 60, Interaction: 600,
    Grant: given.origin ? 3600 : lifetime, RefreshToken: 3600, Session: 3600,
  },
});

async function answer(ctx, accountId, gty) {
  const { client: asking, params } = ctx.oidc;
  const resource = params.resource ?? params.audience ?? DEFAULT_RESOURCE;
  const grant = new provider.Grant({ accountId, clientId: asking.clientId });
  grant.addResourceScope(resource, params.scope);
  const token = new provider.AccessToken({
    accountId, client: asking, grantId: await grant.save(), gty, scope: params.scope,
  });
  token.resourceServer = new provider.ResourceServer(resource, resourceServer(resource));
  const text = await token.save();
  ctx.body = { access_token: text, expires_in: token.expiration, token_type: token.tokenType, scope: token.scope };
}

// On behalf of: the application's own login, and the user it speaks for.
provider.registerGrantType(PASSWORD, async (ctx) => {
  const { username, password, subject_username: subject } = ctx.oidc.params;
  if (!username || users[username] !== password || !subject) throw new errors.InvalidGrant('invalid credentials');
  await answer(ctx, subject, PASSWORD);
}, ['username', 'password', 'subject_username', 'scope', 'resource', 'audience']);

provider.registerGrantType(EXCHANGE, async (ctx) => {
  const { subject_token: token, subject_token_type: type } = ctx.oidc.params;
  if (!token || !type) throw new errors.InvalidRequest('subject_token and subject_token_type are required');
  const [head, body, signature] = token.split('.');
  const right = signature && verify('RSA-SHA256', `${head}.${body}`, key, Buffer.from(signature, 'base64url'));
  const claims = right && JSON.parse(Buffer.from(body, 'base64url'));
  if (!claims || claims.exp <= Date.now() / 1000) throw new errors.InvalidGrant('the subject token is not valid');
  await answer(ctx, claims.sub, EXCHANGE);
  ctx.body.issued_token_type = 'urn:ietf:params:oauth:token-type:access_token';
}, ['subject_token', 'subject_token_type', 'scope', 'resource', 'audience']);

provider.on('server_error', (_ctx, error) => console.error(error));
provider.on('grant.error', (_ctx, error) => console.error(error.error, error.error_detail));
provider.on('grant.revoked', () => console.error('grant.revoked'));
createServer(provider.callback()).listen(Number(given.port), '127.0.0.1');
