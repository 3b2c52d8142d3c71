import { generate } from 'selfsigned';

/** A key and a certificate that it signed itself, as a server takes them; a client that trusts it takes `ca`. */
export async function certificate(): Promise<{ readonly server: { readonly key: string; readonly cert: string }; readonly client: { readonly ca: string; readonly servername: string } }> {
  const servername = 'www.example.com';
  const { private: key, cert } = await generate([{ name: 'commonName', value: servername }], {
    keyType: 'ec', extensions: [{ name: 'subjectAltName', altNames: [{ type: 2, value: servername }] }],
  });
  return { server: { key, cert }, client: { ca: cert, servername } };
}
