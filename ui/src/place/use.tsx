// The address bar as React state. Invariant: pages read and change the place only through here.
import { type AnchorHTMLAttributes, type MouseEvent, useCallback, useMemo } from 'react';
// The raw location: wouter's own hooks decode early, which would turn an encoded `/` or `&` of a name
// into structure.
import { navigate, usePathname, useSearch } from 'wouter/use-browser-location';
import { fromAddress, type Place, toAddress } from './place';

export function usePlace(): Place {
  const path = usePathname();
  const search = useSearch();
  return useMemo(() => fromAddress(path, search), [path, search]);
}

/** `replace` for small steps (typing) that Back should not stop at. */
export function useGo(): (place: Place, how?: { readonly replace?: boolean }) => void {
  return useCallback((place, how) => navigate(toAddress(place), { replace: how?.replace ?? false }), []);
}

interface LinkProps extends Omit<AnchorHTMLAttributes<HTMLAnchorElement>, 'href'> {
  readonly to: Place;
}

/** A link within the app: a real address, so that it opens in a new tab too. */
export function Link({ to, onClick, ...rest }: LinkProps) {
  const go = useGo();
  const click = (event: MouseEvent<HTMLAnchorElement>) => {
    onClick?.(event);
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    go(to);
  };
  return <a {...rest} href={toAddress(to)} onClick={click} />;
}
